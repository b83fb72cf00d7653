// Starts the PLC server, the reference PDS (with a small mail sink) and the indigo relay, prints one JSON
// ready line like `rochdale up`, and runs until SIGTERM. Peers' logs go to DIR/*.log.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, openSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { parseArgs } from 'node:util'

const { values: flags } = parseArgs({
  options: {
    data: { type: 'string' },
    'pds-port': { type: 'string', default: '0' },
    'identity-port': { type: 'string', default: '0' },
    'relay-port': { type: 'string', default: '0' },
    'metrics-port': { type: 'string' },
    'no-relay': { type: 'boolean', default: false },
    // Another host the relay is to follow, such as localhost:3000.
    crawl: { type: 'string', multiple: true, default: [] },
  },
})
const peers = process.env.PEERS_DIR
const data = flags.data ?? mkdtempSync(join(tmpdir(), 'peers-'))
for (const folder of ['blobs', 'tmp', 'pds', 'outbox', 'relay']) {
  mkdirSync(join(data, folder), { recursive: true })
}

const started = []
function start(name, command, args, env = {}) {
  const log = openSync(join(data, `${name}.log`), 'a')
  const child = spawn(command, args, {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', log, log],
  })
  child.on('exit', (code) => {
    if (stopping || child.expected) return
    console.error(`${name} ended with ${code}, see ${data}/${name}.log`)
    stop(1)
  })
  started.push(child)
  return child
}

let stopping = false
async function stop(code) {
  if (stopping) return
  stopping = true
  const running = started.filter((child) => child.exitCode === null && child.signalCode === null)
  const ends = running.map((child) => new Promise((done) => child.once('exit', done)))
  for (const child of running) child.kill('SIGTERM')
  const hard = setTimeout(() => running.forEach((child) => child.kill('SIGKILL')), 4000)
  await Promise.all(ends)
  clearTimeout(hard)
  process.exit(code)
}
process.on('SIGTERM', () => stop(0))
process.on('SIGINT', () => stop(0))

async function port(wanted) {
  if (wanted !== '0') return Number(wanted)
  const server = createServer()
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  const free = server.address().port
  await new Promise((done) => server.close(done))
  return free
}

async function healthy(url) {
  for (let attempt = 0; attempt < 200; attempt++) {
    const answer = await fetch(url).catch(() => undefined)
    if (answer?.ok) return
    await new Promise((done) => setTimeout(done, 100))
  }
  console.error(`${url} did not become healthy, see ${data}/*.log`)
  await stop(1)
}

/** A mail sink: takes any message over SMTP and writes it to DIR/outbox/N.eml. */
async function mailSink() {
  let count = 0
  const server = createServer((socket) => {
    let buffer = ''
    let inData = false
    socket.write('220 outbox\r\n')
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      buffer += chunk.toString('latin1')
      for (;;) {
        const end = inData ? buffer.indexOf('\r\n.\r\n') : buffer.indexOf('\r\n')
        if (end < 0) return
        const text = buffer.slice(0, end)
        buffer = buffer.slice(end + (inData ? 5 : 2))
        if (inData) {
          writeFileSync(join(data, 'outbox', `${String(++count).padStart(6, '0')}.eml`), text, 'latin1')
          inData = false
          socket.write('250 kept\r\n')
        } else if (/^DATA/i.test(text)) {
          inData = true
          socket.write('354 go on\r\n')
        } else if (/^QUIT/i.test(text)) {
          socket.end('221 bye\r\n')
        } else {
          socket.write('250 ok\r\n')
        }
      }
    })
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  return server.address().port
}

const plcPort = await port(flags['identity-port'])
const pdsPort = await port(flags['pds-port'])
const relayPort = await port(flags['relay-port'])
const node = process.execPath
const identity = `http://localhost:${plcPort}`
const pds = `http://localhost:${pdsPort}`
const relay = `http://localhost:${relayPort}`
const password = randomBytes(12).toString('hex')

start('plc', node, [join(peers, 'plc/node_modules/@did-plc/server/dist/bin.js')], { PORT: String(plcPort) })
await healthy(`${identity}/_health`)

const launcher = join(peers, 'pds/pds.mjs')
writeFileSync(
  launcher,
  `import { PDS, envToCfg, envToSecrets, readEnv } from '@atproto/pds'
const env = readEnv()
const pds = await PDS.create(envToCfg(env), envToSecrets(env))
await pds.start()
process.on('SIGTERM', async () => { await pds.destroy(); process.exit(0) })
`,
)
start('pds', node, [launcher], {
  PDS_PORT: String(pdsPort),
  PDS_HOSTNAME: 'localhost',
  PDS_DEV_MODE: 'true',
  PDS_DATA_DIRECTORY: join(data, 'pds'),
  PDS_BLOBSTORE_DISK_LOCATION: join(data, 'blobs'),
  PDS_BLOBSTORE_DISK_TMP_LOCATION: join(data, 'tmp'),
  PDS_DID_PLC_URL: identity,
  PDS_SERVICE_HANDLE_DOMAINS: '.test',
  PDS_INVITE_REQUIRED: 'false',
  PDS_DISABLE_SSRF_PROTECTION: 'true',
  PDS_ADMIN_PASSWORD: password,
  PDS_JWT_SECRET: randomBytes(16).toString('hex'),
  PDS_DPOP_SECRET: randomBytes(32).toString('hex'),
  PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: randomBytes(32).toString('hex'),
  PDS_EMAIL_SMTP_URL: `smtp://127.0.0.1:${await mailSink()}?ignoreTLS=true`,
  PDS_EMAIL_FROM_ADDRESS: 'pds@coop.test',
  PDS_BSKY_APP_VIEW_URL: 'http://localhost:9',
  PDS_BSKY_APP_VIEW_DID: 'did:web:appview.test',
  LOG_ENABLED: 'true',
  LOG_LEVEL: 'warn',
  NODE_ENV: 'production',
})
await healthy(`${pds}/xrpc/_health`)

if (!flags['no-relay']) {
  const database = join(data, 'relay/relay.sqlite')
  const metricsPort = await port('0')
  const startRelay = () =>
    start('relay', join(peers, 'bin/relay'), [
      '--admin-password', password, '--plc-host', identity, 'serve',
      '--db-url', `sqlite://${database}`, '--persist-dir', join(data, 'relay/persist'),
      '--bind', `127.0.0.1:${relayPort}`, '--metrics-listen', `127.0.0.1:${metricsPort}`,
      '--allow-insecure-hosts',
    ])
  const first = startRelay()
  await healthy(`${relay}/xrpc/_health`)
  first.expected = true
  const ended = new Promise((done) => first.once('exit', done))
  first.kill('SIGTERM')
  await ended
  // This relay refuses loopback hosts in requestCrawl, so the host is written into its database.
  const db = new DatabaseSync(database)
  const insert = db.prepare(
    `insert into host(created_at, updated_at, hostname, no_ssl, account_limit, trusted, status, last_seq, account_count)
     values(datetime('now'), datetime('now'), ?, 1, 100000, 1, 'active', -1, 0)`,
  )
  for (const host of [`localhost:${pdsPort}`, ...flags.crawl]) insert.run(host)
  db.close()
  startRelay()
  await healthy(`${relay}/xrpc/_health`)
}

const pids = { plc: started[0].pid, pds: started[1].pid, ...(!flags['no-relay'] && { relay: started.at(-1).pid }) }
console.log(JSON.stringify({ pds, identity, relay, admin_password: password, reference: true, pids }))
setInterval(() => {}, 1 << 30)
