// Starts reference peers, prints one JSON ready line like `rochdale up`, and runs until SIGTERM. With
// `--rochdale BINARY --ours LIST` the services in LIST (pds, identity, relay) are those of `rochdale up`
// and only the others are peers, so that each peer is seen with ours. Logs go to DIR/*.log.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, openSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { parseArgs } from 'node:util'
import { mailSink } from './mail-sink.mjs'

const { values: flags } = parseArgs({
  options: {
    data: { type: 'string' },
    'pds-port': { type: 'string', default: '0' },
    'identity-port': { type: 'string', default: '0' },
    'relay-port': { type: 'string', default: '0' },
    'no-relay': { type: 'boolean', default: false },
    // One more reference PDS at the same directory, to move accounts from and to.
    'second-pds': { type: 'boolean', default: false },
    rochdale: { type: 'string' },
    ours: { type: 'string', default: '' },
    // Another host the reference relay is to follow, such as localhost:3000.
    crawl: { type: 'string', multiple: true, default: [] },
  },
})
const peers = process.env.PEERS_DIR
const data = flags.data ?? mkdtempSync(join(tmpdir(), 'peers-'))
mkdirSync(join(data, 'relay'), { recursive: true })
const ours = flags.ours.split(',').filter(Boolean)
const reference = ['pds', 'identity', 'relay'].filter((service) => !ours.includes(service))
const node = process.execPath
const pids = {}

const started = []
function start(name, command, args, env = {}, stdout = undefined) {
  const log = openSync(join(data, `${name}.log`), 'a')
  const child = spawn(command, args, {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', stdout ?? log, log],
  })
  child.on('exit', (code) => {
    if (stopping || child.expected) return
    console.error(`${name} ended with ${code}, see ${data}/${name}.log`)
    stop(1)
  })
  started.push(child)
  pids[name] = child.pid
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

/** `rochdale up`, of which some services are used. */
async function startOurs() {
  const folder = join(data, 'rochdale')
  const ports = ['--pds-port', '0', '--identity-port', '0', '--relay-port', '0']
  const child = start('rochdale', flags.rochdale, ['up', '--data', folder, ...ports], {}, 'pipe')
  const line = await new Promise((done) => createInterface({ input: child.stdout }).once('line', done))
  return { ...JSON.parse(line), outbox: join(folder, 'outbox') }
}

async function startDirectory() {
  const at = await port(flags['identity-port'])
  start('plc', node, [join(peers, 'plc/node_modules/@did-plc/server/dist/bin.js')], { PORT: String(at) })
  await healthy(`http://localhost:${at}/_health`)
  return `http://localhost:${at}`
}

async function startPds(name, wanted, identity, password) {
  const at = await port(wanted)
  const home = join(data, name)
  for (const folder of ['blobs', 'tmp', 'outbox']) mkdirSync(join(home, folder), { recursive: true })
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
  const mailPort = await mailSink(join(home, 'outbox'))
  start(name, node, [launcher], {
    PDS_PORT: String(at),
    PDS_HOSTNAME: 'localhost',
    PDS_DEV_MODE: 'true',
    PDS_DATA_DIRECTORY: home,
    PDS_BLOBSTORE_DISK_LOCATION: join(home, 'blobs'),
    PDS_BLOBSTORE_DISK_TMP_LOCATION: join(home, 'tmp'),
    PDS_DID_PLC_URL: identity,
    PDS_SERVICE_HANDLE_DOMAINS: '.test',
    PDS_INVITE_REQUIRED: 'false',
    PDS_DISABLE_SSRF_PROTECTION: 'true',
    PDS_ADMIN_PASSWORD: password,
    PDS_JWT_SECRET: randomBytes(16).toString('hex'),
    PDS_DPOP_SECRET: randomBytes(32).toString('hex'),
    PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: randomBytes(32).toString('hex'),
    PDS_EMAIL_SMTP_URL: `smtp://127.0.0.1:${mailPort}?ignoreTLS=true`,
    PDS_EMAIL_FROM_ADDRESS: 'pds@coop.test',
    // Preferences are served only where an AppView is configured; nothing listens there.
    PDS_BSKY_APP_VIEW_URL: 'http://localhost:9',
    PDS_BSKY_APP_VIEW_DID: 'did:web:appview.test',
    LOG_ENABLED: 'true',
    LOG_LEVEL: 'warn',
    NODE_ENV: 'production',
  })
  await healthy(`http://localhost:${at}/xrpc/_health`)
  return { url: `http://localhost:${at}`, outbox: join(home, 'outbox') }
}

async function startRelay(identity, hosts, password) {
  const database = join(data, 'relay/relay.sqlite')
  const at = await port(flags['relay-port'])
  const metrics = await port('0')
  const launch = () =>
    start('relay', join(peers, 'bin/relay'), [
      '--admin-password', password, '--plc-host', identity, 'serve',
      '--db-url', `sqlite://${database}`, '--persist-dir', join(data, 'relay/persist'),
      '--bind', `127.0.0.1:${at}`, '--metrics-listen', `127.0.0.1:${metrics}`, '--allow-insecure-hosts',
    ])
  const first = launch()
  await healthy(`http://localhost:${at}/xrpc/_health`)
  first.expected = true
  const ended = new Promise((done) => first.once('exit', done))
  first.kill('SIGTERM')
  await ended
  // This relay refuses loopback hosts in requestCrawl, so they are written into its database.
  const db = new DatabaseSync(database)
  const insert = db.prepare(
    `insert into host(created_at, updated_at, hostname, no_ssl, account_limit, trusted, status, last_seq, account_count)
     values(datetime('now'), datetime('now'), ?, 1, 100000, 1, 'active', -1, 0)`,
  )
  for (const host of hosts) insert.run(host)
  db.close()
  launch()
  await healthy(`http://localhost:${at}/xrpc/_health`)
  return `http://localhost:${at}`
}

/** Asks our relay, which takes loopback hosts, to follow the PDS. */
async function crawled(relay, pds) {
  const answer = await fetch(`${relay}/xrpc/com.atproto.sync.requestCrawl`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ hostname: new URL(pds).host }),
  })
  if (!answer.ok) throw new Error(`requestCrawl: ${answer.status} ${await answer.text()}`)
}

const own = ours.length > 0 ? await startOurs() : {}
const password = own.admin_password ?? randomBytes(12).toString('hex')
const identity = ours.includes('identity') ? own.identity : await startDirectory()
const main = ours.includes('pds')
  ? { url: own.pds, outbox: own.outbox }
  : await startPds('pds', flags['pds-port'], identity, password)
const second = flags['second-pds'] ? await startPds('second-pds', '0', identity, password) : {}
let relay = ours.includes('relay') ? own.relay : undefined
if (relay && reference.includes('pds')) await crawled(relay, main.url)
if (!relay && !flags['no-relay']) {
  relay = await startRelay(identity, [new URL(main.url).host, ...flags.crawl], password)
}
const ready = { pds: main.url, identity, relay, admin_password: password, outbox: main.outbox }
const peer = { second_pds: second.url, second_outbox: second.outbox, reference, pids }
console.log(JSON.stringify({ ...ready, ...peer }))
setInterval(() => {}, 1 << 30)
