// The services of a plugin.
'use strict';

const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

// Numbers of 64 bits are strings: a run may be more than a number holds.
const { throttlerd, grpc: { health }, plugin } = grpc.loadPackageDefinition(loader.loadSync(
  ['handler.proto', 'health.proto', 'controller.proto'],
  { includeDirs: [path.join(__dirname, 'proto')], longs: String, enums: String, defaults: true },
));

module.exports = {
  Handler: throttlerd.handler.v1.Handler.service,
  Health: health.v1.Health.service,
  Controller: plugin.GRPCController.service,
};
