package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// progressView is what a running task has told of itself, in JSON.
type progressView struct {
	Percent int       `json:"percent"`
	Note    string    `json:"note"`
	At      time.Time `json:"at"`
}

func viewProgress(p *scheduler.Progress) *progressView {
	if p == nil {
		return nil
	}
	return &progressView{p.Percent, p.Note, p.At}
}

func progressText(p *scheduler.Progress) string {
	if p == nil {
		return ""
	}
	text := fmt.Sprintf("%d %%", p.Percent)
	if p.Note != "" {
		text += ", " + cut(p.Note, maxShown)
	}
	return text + ", told " + ago(p.At)
}

// progressRows are a header and up to most tasks, those that told last first; none if no
// task tells.
func progressRows(s snapshot, width, most int) []string {
	if len(s.progress) == 0 || most < 1 {
		return nil
	}
	t := grid{
		{head: "TASK", least: 12}, {head: "QUEUE", least: 8, drop: 2}, {head: "PROGRESS", short: "PROG", right: true},
		{head: "TOLD", right: true, extra: 1}, {head: "NOTE", least: 6, drop: 1},
	}
	for _, p := range s.progress[:min(most, len(s.progress))] {
		t.add(p.Task, p.Queue, fmt.Sprintf("%d%%", p.Percent), span(max(0, s.at.Sub(p.At)).Round(time.Second))+" ago", p.Note)
	}
	lines := t.lines(width)
	if more := len(s.progress) - most; more > 0 {
		lines = append(lines, clip(fmt.Sprintf("… and %s", plural(int64(more), "more task")), width))
	}
	return lines
}

// sortProgress puts those first that told last.
func sortProgress(list []scheduler.Progress) {
	slices.SortFunc(list, func(a, b scheduler.Progress) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return int(a.Fence - b.Fence)
	})
}
