// Makes a handler plugin for throttlerd of a function; docs/plugin-protocol.md of
// throttlerd is what this file does.
//
//   serve({
//     name, version,     // of the plugin
//     doc, types,        // what it does, in a sentence; types of task that it knows
//     configure(config)  // takes the config block; returns what is wrong with it, a
//                        // message by attribute, or nothing
//     handle(task)       // does the work of a task, which session.js describes
//   })
//
// handle may be async. It returns a Buffer, a string, or what is to be JSON. What it
// throws fails the task; see Permanent, RetryAfter and Throttled for other ends.
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const { bounds, cutText } = require('./bounds');
const { Permanent, RetryAfter, Throttled } = require('./failures');
const { log } = require('./log');
const protos = require('./protos');
const { Session } = require('./session');

const COOKIE = ['THROTTLERD_PLUGIN', '5d0fa7a3c1e94b3c8d1c7f2b6be0a1f4'];

function serve(plugin) {
  if (process.env[COOKIE[0]] !== COOKIE[1]) {
    explain(plugin);
    return;
  }
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => {}); // the host decides
  dieWithHost();
  process.stdout.write = process.stderr.write.bind(process.stderr); // stdout is the handshake's

  const server = new grpc.Server({
    'grpc.max_receive_message_length': bounds.MAX_MESSAGE,
    'grpc.max_send_message_length': bounds.MAX_MESSAGE,
  });
  server.addService(protos.Health, {
    Check: (call, reply) => reply(null, { status: 'SERVING' }),
  });
  server.addService(protos.Controller, {
    Shutdown: (call, reply) => {
      reply(null, {});
      server.tryShutdown(() => process.exit(0));
    },
  });
  server.addService(protos.Handler, {
    Describe: (call, reply) => reply(null, describe(plugin)),
    Configure: async (call, reply) => reply(null, { errors: await configure(plugin, call.request.config) }),
    Run: (call) => new Session(call, (task) => handle(plugin, task)),
  });

  const socket = path.join(process.env.PLUGIN_UNIX_SOCKET_DIR, 'plugin.sock');
  server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (err) => {
    if (err) throw err;
    fs.writeSync(1, `1|1|unix|${socket}|grpc\n`);
  });
}

// dieWithHost ends the process, with its children, when the host is gone.
function dieWithHost() {
  const fd = Number(process.env.THROTTLERD_LIFELINE_FD);
  if (!(fd >= 3)) return; // the host offers none
  new net.Socket({ fd, readable: true, writable: false }).resume().on('close', () => {
    try {
      process.kill(-process.pid, 'SIGKILL');
    } finally {
      process.exit(1); // the process leads no group
    }
  });
}

// describe: the host itself refuses every config of a plugin that has no configure.
function describe({ name, version, doc, types, configure }) {
  return { name, version, doc, taskTypes: types, sdk: 'node/1', declaresConfig: !configure };
}

async function configure(plugin, bytes) {
  try {
    const config = bytes.length > 0 ? JSON.parse(bytes) : {};
    for (const name in config) if (config[name] === null) delete config[name]; // as if it were absent
    const wrong = (await plugin.configure?.(config)) ?? {};
    return Object.entries(wrong).map(([attribute, message]) => ({ attribute, message: cutText(message, bounds.MAX_ERROR) }));
  } catch (err) {
    return [{ message: cutText(err.message, bounds.MAX_ERROR) }]; // of the block as a whole
  }
}

function handle({ types, handle }, task) {
  if (types && !types.includes(task.type)) {
    throw new Permanent(`unknown task type "${task.type}"; the known types are ${types.join(', ')}`);
  }
  return handle(task);
}

// explain tells somebody who started the plugin by hand what it is.
function explain({ name, version }) {
  console.log(`${name} ${version} is a handler plugin for throttlerd. It does nothing by itself:
throttlerd starts it and hands it tasks. Put its folder where plugin_dir is and declare it:

  handler "${name}" {
    plugin = "${path.basename(process.argv[1])}"
    env    = { PATH = env("PATH") }
    mtls   = false
  }`);
}

module.exports = { serve, log, Permanent, RetryAfter, Throttled };
