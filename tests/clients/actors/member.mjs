// A member of the co-op: an account at the PDS under test, used through the official SDK.
import { AtpAgent } from '@atproto/api'
import { pds, resolver } from './stack.mjs'

let count = 0

/** A name nobody has taken yet, 3 to 18 characters. */
export function freshName(prefix = 'm') {
  count += 1
  const unique = (Date.now() % 60466176).toString(36) + process.pid.toString(36) + count.toString(36)
  return `${prefix}${unique}`.slice(0, 18)
}

export function anonymous(service = pds) {
  return new AtpAgent({ service })
}

export const POST = 'app.bsky.feed.post'

export function post(text = 'Hello from the co-op') {
  return { $type: POST, text, createdAt: new Date().toISOString() }
}

export class Member {
  /** Signs a new member up. */
  static async joins(prefix = 'm', extra = {}, service = pds) {
    const name = freshName(prefix)
    const member = new Member()
    member.handle = `${name}.test`
    member.email = `${name}@members.example`
    member.password = `secret ${name}`
    member.agent = anonymous(service)
    const { data } = await member.agent.createAccount({
      handle: member.handle,
      email: member.email,
      password: member.password,
      ...extra,
    })
    member.did = data.did
    return member
  }

  get repo() {
    return this.agent.com.atproto.repo
  }

  get sync() {
    return this.agent.com.atproto.sync
  }

  get server() {
    return this.agent.com.atproto.server
  }

  get accessJwt() {
    return this.agent.session.accessJwt
  }

  /** A second, independent session with the password. */
  async signsInAgain() {
    const agent = anonymous()
    await agent.login({ identifier: this.handle, password: this.password })
    return agent
  }

  async posts(text, extra = {}) {
    const { data } = await this.repo.createRecord({
      repo: this.did,
      collection: POST,
      record: post(text),
      ...extra,
    })
    return { ...data, rkey: data.uri.split('/').at(-1) }
  }

  async puts(collection, rkey, record, extra = {}) {
    const { data } = await this.repo.putRecord({ repo: this.did, collection, rkey, record, ...extra })
    return data
  }

  async deletes(collection, rkey, extra = {}) {
    const { data } = await this.repo.deleteRecord({ repo: this.did, collection, rkey, ...extra })
    return data
  }

  /** Writes `texts` as posts in one commit. */
  async postsTogether(texts) {
    const writes = texts.map((text) => ({
      $type: 'com.atproto.repo.applyWrites#create',
      collection: POST,
      value: post(text),
    }))
    const { data } = await this.repo.applyWrites({ repo: this.did, writes })
    return data
  }

  async reads(collection, rkey) {
    const { data } = await anonymous().com.atproto.repo.getRecord({ repo: this.did, collection, rkey })
    return data
  }

  async latestCommit() {
    const { data } = await anonymous().com.atproto.sync.getLatestCommit({ did: this.did })
    return data
  }

  async exportsRepo(since) {
    const { data } = await anonymous().com.atproto.sync.getRepo({ did: this.did, since })
    return data
  }

  /** The account's signing key as the directory has it, a did:key. */
  async signingKey() {
    return resolver().did.resolveAtprotoKey(this.did, true)
  }
}
