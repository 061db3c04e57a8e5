// The bounds of the wire, and what keeps to them.
'use strict';

const bounds = {
  MAX_MESSAGE: 8 << 20,
  MAX_BATCH: 1 << 20,
  MAX_BATCH_ITEMS: 512,
  MAX_RESULT: 64 << 10,
  MAX_ERROR: 4 << 10,
  MAX_NOTE: 256,
  MAX_LIMIT_NAME: 64,
};

// batchLength is how many results fit in one message, at least one.
function batchLength(results) {
  let size = 0;
  const over = results.slice(0, bounds.MAX_BATCH_ITEMS).findIndex(({ result, error, actual, reports }) => {
    size += (result?.length ?? 0) + (error?.length ?? 0) * 3 + 64; // UTF-8 has at most 3 bytes for one unit
    size += (Object.keys(actual).length + reports.length) * 256;
    return size > bounds.MAX_BATCH;
  });
  return over < 0 ? bounds.MAX_BATCH_ITEMS : Math.max(over, 1);
}

// cutResult makes bytes of what a handler has returned.
function cutResult(given) {
  const bytes = given instanceof Uint8Array ? given : Buffer.from(typeof given === 'string' ? given : JSON.stringify(given) ?? '');
  return { result: bytes.subarray(0, bounds.MAX_RESULT), truncated: bytes.length > bounds.MAX_RESULT };
}

// cutText bounds a text to so many bytes of UTF-8, and makes it valid.
function cutText(text, most) {
  const bytes = Buffer.from(String(text));
  return new TextDecoder().decode(bytes.subarray(0, most), { stream: true }); // drops half a character
}

// limitName is the name of a limit, without one that of the queue's own; of one that is too
// long enough is left for the host to refuse it.
function limitName(name) {
  return cutText(name || 'queue', 2 * bounds.MAX_LIMIT_NAME);
}

module.exports = { bounds, batchLength, cutResult, cutText, limitName };
