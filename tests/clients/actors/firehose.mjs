// Subscribers: the official SDK's Firehose, which verifies what it reads, and a raw reader of frames that
// replays each commit backwards with the official MST.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { Firehose } from '@atproto/sync'
import { decodeAll } from '@atproto/lex-cbor'
import { MST, MemoryBlockstore, readCarWithRoot, verifyCommitSig, cborToLex } from '@atproto/repo'
import WebSocket from 'ws'
import { eventually, resolver } from './stack.mjs'

function websocket(base) {
  return base.replace(/^http/, 'ws')
}

/** Follows a service's firehose with the SDK and keeps the events of the DIDs it is asked about. */
export class Follower {
  constructor(base, { cursor } = {}) {
    this.events = []
    this.errors = []
    this.firehose = new Firehose({
      service: websocket(base),
      idResolver: resolver(),
      getCursor: cursor === undefined ? undefined : () => cursor,
      unauthenticatedHandles: true,
      handleEvent: (event) => void this.events.push(event),
      onError: (error) => void this.errors.push(error),
    })
    this.running = this.firehose.start()
  }

  of(did) {
    return this.events.filter((event) => event.did === did)
  }

  async sees(did, what, check) {
    return eventually(`${what} of ${did}`, () => this.of(did).find(check)).catch((error) => {
      error.message += `; seen: ${JSON.stringify(this.of(did).map((e) => e.event))}, errors: ${this.errors}`
      throw error
    })
  }

  async stops() {
    await this.firehose.destroy()
  }
}

/** Reads raw frames: `{header, body}` for each, and how the socket was closed. */
export class RawReader {
  constructor(base, cursor) {
    const query = cursor === undefined ? '' : `?cursor=${cursor}`
    this.frames = []
    this.closed = undefined
    this.refused = undefined
    this.socket = new WebSocket(`${websocket(base)}/xrpc/com.atproto.sync.subscribeRepos${query}`)
    this.socket.binaryType = 'nodebuffer'
    this.socket.on('message', (bytes) => {
      const [header, body] = [...decodeAll(bytes)]
      this.frames.push({ header, body, bytes })
    })
    this.socket.on('unexpected-response', (_, response) => {
      this.refused = response.statusCode
      response.destroy()
    })
    this.socket.on('error', () => {})
    this.socket.on('close', (code) => void (this.closed = code))
  }

  async opens() {
    await eventually('the socket to open', () => this.socket.readyState === WebSocket.OPEN)
  }

  of(did) {
    return this.frames.filter(({ body }) => (body.repo ?? body.did) === did)
  }

  async sees(did, what, check) {
    return eventually(`${what} of ${did}`, () => this.of(did).find(check))
  }

  stops() {
    this.socket.terminate()
  }
}

/** Checks one `#commit` as the sync spec asks: signature, and operations replayed backwards give `prevData`. */
export async function verifyCommit(body, signingKey) {
  const { root, blocks } = await readCarWithRoot(body.blocks)
  assert.equal(root.toString(), body.commit.toString(), 'the root of the CAR is the commit')
  const commit = cborToLex(blocks.get(root))
  assert.equal(commit.did, body.repo)
  assert.equal(commit.rev, body.rev)
  assert.equal(commit.version, 3)
  assert.ok(await verifyCommitSig(commit, signingKey), 'the signature of the commit')
  let tree = MST.load(new MemoryBlockstore(blocks), commit.data)
  for (const op of [...body.ops].reverse()) {
    const now = await tree.get(op.path)
    if (op.action === 'delete') {
      assert.equal(now, null, `${op.path} is gone`)
      assert.equal(op.cid, null)
      tree = await tree.add(op.path, op.prev)
    } else {
      assert.equal(now?.toString(), op.cid.toString(), `${op.path} is in the tree`)
      assert.ok(blocks.has(op.cid), `the record ${op.path} is in the CAR`)
      tree = op.action === 'create' ? await tree.delete(op.path) : await tree.update(op.path, op.prev)
    }
  }
  const before = await (await tree.trimTop()).getPointer()
  if (body.prevData) assert.equal(before.toString(), body.prevData.toString(), 'inversion gives prevData')
  return commit
}
