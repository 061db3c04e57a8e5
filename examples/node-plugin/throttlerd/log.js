// Log lines for the host: JSON in the form of hclog, on stderr.
'use strict';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'off'];
const least = Math.max(LEVELS.indexOf(process.env.THROTTLERD_LOG_LEVEL), 0);

// logger has a method for each level: log.info(message, fields). Its fields are in each line.
function logger(own) {
  const out = {};
  for (const [i, level] of LEVELS.slice(0, -1).entries()) {
    out[level] = (message, fields) => {
      if (i < least) return;
      const line = { '@level': level, '@message': message, '@timestamp': new Date().toISOString() };
      process.stderr.write(`${JSON.stringify({ ...line, ...own, ...fields })}\n`);
    };
  }
  return out;
}

module.exports = { logger, log: logger({}) };
