package main

import (
	"fmt"
	"time"
)

// snapshotView is what the monitor sees, in JSON: one object an interval.
type snapshotView struct {
	At        time.Time     `json:"at"`
	Namespace string        `json:"namespace"`
	Health    healthView    `json:"health"`
	Totals    totals        `json:"totals"`
	Hints     []string      `json:"hints"`
	Workers   []workerView  `json:"workers"`
	Queues    []sampledView `json:"queues"` // what needs attention first

	Progress []taskProgressView `json:"progress"` // of running tasks that tell it; the last told first
}

type taskProgressView struct {
	Task  string `json:"task"`
	Queue string `json:"queue"`
	progressView
}

type sampledView struct {
	queueView
	StartsPerSecond *float64 `json:"starts_per_second"` // since the sample before; null in the first
}

func viewSnapshot(s snapshot) snapshotView {
	v := snapshotView{
		At: s.at.UTC(), Namespace: s.namespace, Health: viewHealth(s.health), Totals: s.totals(), Hints: s.hints(),
		Workers: []workerView{}, Queues: []sampledView{}, Progress: []taskProgressView{},
	}
	for _, p := range s.progress {
		v.Progress = append(v.Progress, taskProgressView{p.Task, p.Queue, *viewProgress(&p)})
	}
	if v.Hints == nil {
		v.Hints = []string{}
	}
	for _, w := range s.workers {
		v.Workers = append(v.Workers, viewWorker(w, s.at))
	}
	for _, q := range s.queues {
		x := sampledView{queueView: viewQueue(q.Queue, s.workers)}
		if q.reached >= 0 {
			x.StartsPerSecond = &q.reached
		}
		v.Queues = append(v.Queues, x)
	}
	return v
}

// oneLine is a snapshot for a log.
func oneLine(s snapshot) string {
	t := s.totals()
	line := fmt.Sprintf("%s  %s  workers %d  queues %d  waiting %d  scheduled %d  running %d  dead %d  done %d  failed %d",
		s.at.UTC().Format(time.RFC3339), s.health.Status, t.Workers, t.Queues, t.Waiting, t.Scheduled, t.Running, t.Dead, t.Completed, t.Failed)
	if t.StartsPerSecond != nil {
		line += "  starts/s " + perSecond(*t.StartsPerSecond)
	}
	for _, h := range s.hints() {
		return line + "  ! " + h
	}
	return line
}
