// The stream on which tasks come and results go back.
'use strict';

const { bounds, batchLength, cutResult, cutText, limitName } = require('./bounds');
const { Failure } = require('./failures');
const { logger } = require('./log');

const PROGRESS_EVERY = 100; // ms
const LONGEST_TIMER = 2 ** 31 - 1; // ms, of Node

const CAUSES = {
  CANCEL_REASON_TASK_CANCELLED: 'task cancelled',
  CANCEL_REASON_DRAINING: 'worker draining',
  CANCEL_REASON_LEASE_LOST: 'lease lost',
  CANCEL_REASON_TIMEOUT: 'task timed out',
};

class Session {
  #call;
  #handle;
  #runs = new Map(); // the abort of each run, by its number
  #results = []; // to be sent
  #progress = new Map(); // the last of each run, not sent yet
  #due = []; // progress of runs that have ended
  #timer = null; // of progress
  #flushing = false; // a flush comes, now or when the stream takes more
  #last = false; // no task comes any more

  constructor(call, handle) {
    this.#call = call;
    this.#handle = handle;
    call.on('data', (batch) => this.#receive(batch));
    call.on('end', () => this.#drain());
    call.on('cancelled', () => {
      for (const abort of this.#runs.values()) abort('CANCEL_REASON_LEASE_LOST'); // the host is gone
    });
  }

  #receive({ tasks, cancels, drain }) {
    for (const task of tasks) this.#start(task);
    for (const { run, reason } of cancels) this.#runs.get(run)?.(reason);
    if (drain) this.#drain();
  }

  #drain() {
    this.#last = true;
    this.#wake();
  }

  async #start(wire) {
    const control = new AbortController();
    const abort = (reason) => control.abort(new Error(CAUSES[reason] ?? CAUSES.CANCEL_REASON_TASK_CANCELLED));
    this.#runs.set(wire.run, abort);
    const timeout = Number(wire.timeoutUs) / 1000;
    // For a time that no timer can count the host's word will do.
    const timer = timeout > 0 && timeout <= LONGEST_TIMER && setTimeout(abort, timeout, 'CANCEL_REASON_TIMEOUT');
    const result = { run: wire.run, actual: {}, reports: [], startedUs: Date.now() * 1000 };
    const begin = performance.now();
    try {
      const given = await this.#handle(this.#task(wire, control.signal, timeout, result));
      Object.assign(result, { outcome: 'OUTCOME_DONE' }, cutResult(given));
    } catch (err) {
      Object.assign(result, { outcome: 'OUTCOME_FAILED', error: cutText(err?.message || err, bounds.MAX_ERROR) });
      if (err instanceof Failure) Object.assign(result, err.result);
    }
    clearTimeout(timer);
    result.tookUs = Math.round((performance.now() - begin) * 1000);
    this.#finish(result);
  }

  // task is what a handler sees of a task.
  #task(wire, signal, timeout, result) {
    const { run, id, queue, type, key, attempt, maxAttempts, payload, headers } = wire;
    const trace = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/.exec(headers.traceparent ?? '');
    return {
      run, id, queue, type, key, attempt, maxAttempts, payload, headers,
      submittedUs: Number(wire.submittedUs), // since 1970
      grantedUs: Number(wire.grantedUs),
      deadline: timeout > 0 ? Date.now() + timeout : null, // in ms since 1970
      signal, // aborts when the run is called off or its time is over
      log: logger({ task: id, queue, attempt, ...(trace && { trace_id: trace[1] }) }),

      // progress tells people how far the run is, from 0 to 100.
      progress: (percent, note = '') => {
        if (!this.#runs.has(run)) return;
        this.#progress.set(run, { run, percent: Math.min(Math.max(Math.round(percent), 0), 100), note: cutText(note, bounds.MAX_NOTE) });
        this.#timer ??= setTimeout(() => this.#tell(), PROGRESS_EVERY);
      },
      // actualCost tells what the run really cost at a limit, in tokens; of 16 limits at most.
      actualCost: (limit, tokens) => {
        result.actual[limitName(limit)] = Math.max(Math.round(tokens), 0);
      },
      // report tells what the upstream has left of a limit until it counts anew, in so many ms.
      report: (limit, remaining, resetMs = 0) => {
        result.reports.push({
          limit: limitName(limit), remaining: Math.max(Math.round(remaining), 0), resetUs: Math.round(resetMs * 1000),
        });
      },
    };
  }

  #finish(result) {
    this.#runs.delete(result.run);
    if (this.#progress.has(result.run)) {
      this.#due.push(this.#progress.get(result.run));
      this.#progress.delete(result.run);
    }
    this.#results.push(result);
    this.#wake();
  }

  #tell() {
    this.#timer = null;
    this.#due.push(...this.#progress.values());
    this.#progress.clear();
    this.#wake();
  }

  // wake lets everything go out that is there at the end of this turn of the event loop.
  #wake() {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => this.#flush());
  }

  #flush() {
    while (this.#results.length + this.#due.length > 0) {
      const progress = this.#due.splice(0, bounds.MAX_BATCH_ITEMS);
      const fitting = this.#due.length > 0 ? 0 : batchLength(this.#results); // a result comes after its progress
      if (!this.#call.write({ progress, results: this.#results.splice(0, fitting) })) {
        this.#call.once('drain', () => this.#flush());
        return;
      }
    }
    this.#flushing = false;
    if (this.#last && this.#runs.size === 0) this.#call.end();
  }
}

module.exports = { Session };
