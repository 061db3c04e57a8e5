// BullMQ on a redis-server: node bench.js SOCKET drain|bulk|latency|limiter|idle|memory N QUEUES
import { Queue, Worker } from 'bullmq'
import IORedis from 'ioredis'

const [socket, what, n = 10000, queues = 1] = process.argv.slice(2).map((v, i) => (i < 2 ? v : Number(v)))
const connect = () => new IORedis({ path: socket, maxRetriesPerRequest: null })
const payload = 'x'.repeat(100)
const out = (f) => { console.log(JSON.stringify(f)); process.exit(0) }
const since = (t) => Number(process.hrtime.bigint() - t) / 1e9

const names = Array.from({ length: queues }, (_, i) => `q${i}`)
const list = names.map((name) => new Queue(name, { connection: connect() }))
const drainOptions = { removeOnComplete: true }

async function bulk (n) {
  const each = 1000
  for (let i = 0; i < n; i += each) {
    const q = list[(i / each) % queues]
    await q.addBulk(Array.from({ length: Math.min(each, n - i) }, (_, k) => ({ name: 'noop', data: { p: payload, i: i + k }, opts: drainOptions })))
  }
}

// drain runs workers until all tasks are done. The clock runs from the first task's start,
// Redis' counts of commands from just before. Under a limiter it prints the starts too.
async function drain (options = {}) {
  await bulk(n)
  const starts = []
  let first
  const handle = async () => {
    first ??= process.hrtime.bigint()
    if (options.limiter) starts.push(Date.now() * 1000)
  }
  const workers = names.map((name) => new Worker(name, handle, { connection: connect(), concurrency: 64, autorun: false, ...options }))
  await Promise.all(workers.map((w) => w.waitUntilReady()))
  await connect().config('RESETSTAT')
  let done = 0
  for (const w of workers) {
    w.on('completed', () => { if (++done === n) out({ per_second: n / since(first), starts_us: starts }) })
    w.run()
  }
}

const runs = {
  drain,
  async bulk () {
    const start = process.hrtime.bigint()
    await bulk(n)
    out({ per_second: n / since(start) })
  },
  async latency () {
    const took = []
    const w = new Worker('q0', async (job) => { took.push(Number(process.hrtime.bigint() - BigInt(job.data.at)) / 1e6) }, { connection: connect() })
    await w.waitUntilReady()
    await new Promise((resolve) => setTimeout(resolve, 500))
    let sent = 0
    const timer = setInterval(() => {
      if (sent++ < n) list[0].add('noop', { at: process.hrtime.bigint().toString() }, drainOptions)
      else if (took.length >= n) {
        clearInterval(timer)
        took.sort((a, b) => a - b)
        out({ p50_ms: took[Math.floor(0.5 * (n - 1))], p99_ms: took[Math.floor(0.99 * (n - 1))] })
      }
    }, 10)
  },
  async limiter () { // 100 a second, by its own limiter
    await drain({ limiter: { max: 100, duration: 1000 } })
  },
  async idle () { // until it is killed
    await new Worker('q0', async () => {}, { connection: connect() }).waitUntilReady()
  },
  async memory () {
    const r = connect()
    const used = async () => Number(/used_memory:(\d+)/.exec(await r.info('memory'))[1])
    const before = await used()
    await bulk(n)
    out({ bytes: ((await used()) - before) / n })
  }
}
await runs[what]()
