// What a handler throws to say more than that the task has failed.
'use strict';

const { limitName } = require('./bounds');

// Failure has what the result is to say beside the error.
class Failure extends Error {
  constructor(message, result) {
    super(message);
    this.result = result;
  }
}

// Permanent: no retry can help, the task is dead at once.
class Permanent extends Failure {
  constructor(message) {
    super(message, { outcome: 'OUTCOME_PERMANENT' });
  }
}

// RetryAfter asks for the next attempt after so many milliseconds.
class RetryAfter extends Failure {
  constructor(ms, message) {
    super(message, { outcome: 'OUTCOME_RETRY_AFTER', delayUs: Math.round(ms * 1000) });
  }
}

// Throttled: the upstream asked to slow down for so many milliseconds. The task keeps its
// attempt, and the limit ("queue", "key" or a named one) grants nothing meanwhile.
class Throttled extends Failure {
  constructor(ms, message, limit) {
    super(message, { outcome: 'OUTCOME_THROTTLED', delayUs: Math.round(ms * 1000), limit: limitName(limit) });
  }
}

module.exports = { Failure, Permanent, RetryAfter, Throttled };
