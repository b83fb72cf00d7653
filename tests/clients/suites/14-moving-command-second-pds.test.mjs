// A member moves with `rochdale account migrate`, from another PDS to the one under test and back.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { verifyRepoCar } from '@atproto/repo'
import { Member, POST, anonymous, post } from '../actors/member.mjs'
import { codeMailedTo } from '../actors/outbox.mjs'
import { directory, identity, outbox, pds } from '../actors/stack.mjs'

const binary = process.env.STACK_BINARY
const second = process.env.STACK_SECOND_PDS
const PREFERENCE = { $type: 'app.bsky.actor.defs#adultContentPref', enabled: false }

/** Runs the command; gives its exit code and what it said. */
function migrate(folder, member, from, to, ...more) {
  const flags = ['--from', from.url, '--to', to.url, '--did', member.did, '--plc-url', identity]
  const child = spawn(binary, ['account', 'migrate', ...flags, '--journal', join(folder, 'move.json'), ...more], {
    env: { ...process.env, MIGRATE_OLD_PASSWORD: member.password, MIGRATE_NEW_PASSWORD: member.password },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => { said += text })
  return new Promise((done) => child.once('exit', (code) => done({ code, said })))
}

const here = { name: 'the PDS', url: pds, outbox }
const there = { name: 'another PDS', url: second, outbox: process.env.STACK_SECOND_OUTBOX }
const skip = binary ? false : 'the stack is not given our program'
for (const [from, to] of [[there, here], [here, there]]) {
  test(`the command moves a member from ${from.name} to ${to.name}`, { skip }, async () => {
    const member = await Member.joins('mc', {}, from.url)
    const bytes = randomBytes(70_000)
    const { data: upload } = await member.repo.uploadBlob(bytes, { encoding: 'application/octet-stream' })
    await member.postsTogether(Array.from({ length: 120 }, (_, i) => `entry ${i}`))
    await member.puts('coop.rochdale.test.note', 'note', { $type: 'coop.rochdale.test.note', file: upload.blob })
    await member.agent.app.bsky.actor.putPreferences({ preferences: [PREFERENCE] })
    const folder = mkdtempSync(join(tmpdir(), 'move-'))

    const looked = await migrate(folder, member, from, to, '--dry-run')
    assert.equal(looked.code, 0, looked.said)
    assert.match(looked.said, /121 records, 1 blobs/)
    const token = await codeMailedTo(member.email, async () => {
      const first = await migrate(folder, member, from, to)
      assert.equal(first.code, 3, first.said)
    }, from.outbox)
    const moved = await migrate(folder, member, from, to, '--code', token)
    assert.equal(moved.code, 0, moved.said)

    assert.equal((await directory.getDocumentData(member.did)).services.atproto_pds.endpoint, to.url)
    const agent = anonymous(to.url)
    await agent.login({ identifier: member.did, password: member.password })
    const { data: posts } = await agent.com.atproto.repo.listRecords({
      repo: member.did, collection: POST, limit: 100,
    })
    assert.equal(posts.records.length, 100)
    const { data: kept } = await agent.app.bsky.actor.getPreferences()
    assert.deepEqual(kept.preferences, [PREFERENCE])
    const blob = await anonymous(to.url).com.atproto.sync.getBlob({
      did: member.did, cid: upload.blob.ref.toString(),
    })
    assert.deepEqual(Buffer.from(blob.data), bytes)
    // The reference PDS serves the old signature until the first write.
    agent.sessionManager.pdsUrl = new URL(to.url)
    await agent.com.atproto.repo.createRecord({
      repo: member.did, collection: POST, record: post('at the new place'),
    })
    const { data: car } = await anonymous(to.url).com.atproto.sync.getRepo({ did: member.did })
    const verified = await verifyRepoCar(car, member.did, await member.signingKey())
    assert.equal(verified.creates.length, 122)
    const { data: status } = await anonymous(from.url).com.atproto.sync.getRepoStatus({ did: member.did })
    assert.equal(status.active, false)
    rmSync(folder, { recursive: true })
  })
}
