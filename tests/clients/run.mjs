// run.mjs [--only PATTERN] COMMAND [ARGS...]: starts COMMAND in a fresh folder on free ports, waits for its
// JSON ready line, runs every suite against it, stops it with SIGTERM and checks that it ends cleanly.
// Prints the end of the stack's logs when anything failed; ends with the test runner's exit code.
import { spawn } from 'node:child_process'
import { createWriteStream, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const READY_LIMIT_MS = 120_000
const STOP_LIMIT_MS = 5_000
const LOG_LINES_SHOWN = 60

const here = dirname(fileURLToPath(import.meta.url))
const [options, command] = split(process.argv.slice(2))
if (command.length === 0) {
  console.error('usage: node run.mjs [--only PATTERN] COMMAND [ARGS...]')
  process.exit(2)
}

function split(words) {
  const only = words[0] === '--only' ? words[1] : undefined
  return [{ only }, only === undefined ? words : words.slice(2)]
}

const data = mkdtempSync(join(tmpdir(), 'clients-'))
const stack = spawn(
  command[0],
  [...command.slice(1), '--data', data, '--pds-port', '0', '--identity-port', '0', '--relay-port', '0'],
  { stdio: ['ignore', 'pipe', 'pipe'] },
)
const log = createWriteStream(join(data, 'stack.log'))
stack.stderr.pipe(log)
const ended = new Promise((done) => stack.once('exit', (code, signal) => done({ code, signal })))

function showLogs() {
  for (const file of globSync(join(data, '*.log'))) {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
    console.error(`--- ${file} (last ${Math.min(lines.length, LOG_LINES_SHOWN)} of ${lines.length} lines)`)
    console.error(lines.slice(-LOG_LINES_SHOWN).join('\n'))
  }
}

async function ready() {
  const lines = createInterface({ input: stack.stdout })
  const first = new Promise((done) => lines.once('line', done))
  const limit = new Promise((done) => setTimeout(done, READY_LIMIT_MS).unref())
  const line = await Promise.race([first, ended, limit])
  if (typeof line !== 'string') {
    showLogs()
    console.error(`the stack printed no ready line: ${JSON.stringify(line ?? 'time is up')}`)
    stack.kill('SIGKILL')
    process.exit(1)
  }
  return JSON.parse(line)
}

const urls = await ready()
const needsSecondPds = (file) => file.includes('-second-pds')
const suites = globSync(join(here, 'suites', `*${options.only ?? ''}*.test.mjs`))
  .filter((file) => urls.second_pds || !needsSecondPds(file))
  .sort()
const tests = spawn(
  process.execPath,
  ['--no-warnings', '--test', '--test-concurrency=2', '--test-timeout=60000', '--test-reporter=spec', ...suites],
  {
    cwd: here,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: {
      ...process.env,
      STACK_PDS: urls.pds,
      STACK_IDENTITY: urls.identity,
      STACK_RELAY: urls.relay,
      STACK_ADMIN_PASSWORD: urls.admin_password,
      STACK_OUTBOX: urls.outbox ?? join(data, 'outbox'),
      STACK_SECOND_PDS: urls.second_pds ?? '',
      STACK_SECOND_OUTBOX: urls.second_outbox ?? '',
      STACK_REFERENCE: (urls.reference ?? []).join(','),
      STACK_BINARY: command[command.indexOf('--rochdale') + 1 || command.length] ?? '',
    },
  },
)
process.on('SIGTERM', () => tests.kill('SIGTERM'))
process.on('SIGINT', () => tests.kill('SIGINT'))
let failed = (await new Promise((done) => tests.once('exit', (code) => done(code ?? 1)))) !== 0

stack.kill('SIGTERM')
const tooLong = setTimeout(() => stack.kill('SIGKILL'), STOP_LIMIT_MS)
const end = await ended
clearTimeout(tooLong)
if (end.code !== 0) {
  console.error(`the stack did not stop cleanly after SIGTERM: ${JSON.stringify(end)}`)
  failed = true
}
if (failed) {
  showLogs()
  console.error(`the data folder is kept: ${data}`)
} else {
  rmSync(data, { recursive: true, force: true })
}
process.exitCode = failed ? 1 : 0
