#!/usr/bin/env node
// The plugin echo, in JavaScript: it returns each task's payload. The config block, and a
// payload that is a JSON object, can script it to do something else.
'use strict';

const timers = require('node:timers/promises');
const { serve, Permanent, RetryAfter, Throttled } = require('./throttlerd');

// What a script may hold, and how it is read. All but the last three may be in the config.
const FIELDS = {
  sleep: duration,
  log: text,
  fail: text,
  throttle: duration,
  limit: text,
  retry_after: duration,
  panic: text,
  exit: integer,
  actual: costs,
  report: reports,
  reveal: (value) => value === true,
};
const PAYLOAD_ONLY = ['actual', 'report', 'reveal'];

const base = {}; // the script for every task

serve({
  name: 'node-echo',
  version: '1.0.0',
  doc: 'returns payloads, or does what they script',

  configure(config) {
    const wrong = {};
    for (const [name, value] of Object.entries(config)) {
      try {
        if (!Object.hasOwn(FIELDS, name) || PAYLOAD_ONLY.includes(name)) throw new Error('there is no such attribute');
        base[name] = FIELDS[name](value);
      } catch (err) {
        wrong[name] = err.message;
      }
    }
    return wrong;
  },

  async handle(task) {
    const script = { ...base, ...read(task.payload) };
    if (script.sleep > 0) await sleep(task, script.sleep);
    if (script.log) task.log.info(script.log);
    for (const [limit, tokens] of Object.entries(script.actual ?? {})) task.actualCost(limit, tokens);
    for (const { limit, remaining, reset } of script.report ?? []) task.report(limit, remaining, reset);

    if (script.exit !== undefined) process.exit(script.exit);
    if (script.panic) throw new Error(`panic: ${script.panic}`);
    if (script.throttle > 0) throw new Throttled(script.throttle, 'throttled as scripted', script.limit);
    if (script.retry_after > 0) throw new RetryAfter(script.retry_after, 'retry as scripted');
    if (script.fail) throw new Error(script.fail);
    return script.reveal ? reveal(task) : task.payload;
  },
});

// read takes the script out of a payload; one that is no JSON object holds none.
function read(payload) {
  if (!/^\s*\{/.test(payload.toString('latin1', 0, 100))) return {};
  let object;
  try {
    object = JSON.parse(payload);
  } catch {
    return {};
  }
  const script = {};
  for (const [name, parse] of Object.entries(FIELDS)) {
    if (object[name] === undefined || object[name] === null) continue;
    try {
      script[name] = parse(object[name]);
    } catch (err) {
      throw new Permanent(`payload field "${name}": ${err.message}`);
    }
  }
  return script;
}

// sleep tells each second how far it is, and ends early when the run does.
async function sleep(task, ms) {
  const begin = Date.now();
  const ticker = setInterval(() => task.progress((100 * (Date.now() - begin)) / ms, `sleeping ${ms} ms`), 1000);
  try {
    await timers.setTimeout(ms, null, { signal: task.signal });
  } catch {
    throw task.signal.reason;
  } finally {
    clearInterval(ticker);
  }
}

function reveal(t) {
  return {
    id: t.id, queue: t.queue, type: t.type, key: t.key, attempt: t.attempt, max_attempts: t.maxAttempts, run: t.run,
    headers: t.headers, submitted_us: t.submittedUs, granted_us: t.grantedUs,
    left_us: t.deadline ? Math.round((t.deadline - Date.now()) * 1000) : 0,
  };
}

// duration reads one such as "1m30s", in milliseconds.
function duration(value) {
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  if (typeof value !== 'string' || !/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(value)) {
    throw new Error(`must be a duration such as "5s", not ${JSON.stringify(value)}`);
  }
  let sum = 0;
  for (const [, number, unit] of value.matchAll(/([\d.]+)(ms|s|m|h)/g)) sum += number * units[unit];
  return sum;
}

function text(value) {
  if (typeof value !== 'string') throw new Error(`must be a string, not ${JSON.stringify(value)}`);
  return value;
}

function integer(value) {
  if (!Number.isInteger(value)) throw new Error(`must be a whole number, not ${JSON.stringify(value)}`);
  return value;
}

function costs(value) {
  Object.values(value).forEach(integer);
  return value;
}

function reports(value) {
  return value.map(({ limit = '', remaining = 0, reset = '0s' }) => ({
    limit: text(limit), remaining: integer(remaining), reset: duration(reset),
  }));
}
