// An AppView, labeler and feed service in one that runs beside the suites: it remembers the calls that reach
// it and answers as it is told. Its did:web document names all its services.
import { createServer } from 'node:http'

const SERVICES = ['bsky_appview', 'atproto_labeler', 'bsky_notif', 'bsky_chat', 'bsky_fg']

export class AppView {
  #answers = new Map()
  #server = createServer((request, response) => this.#serve(request, response))
  calls = []

  static async starts() {
    const view = new AppView()
    await new Promise((done) => view.#server.listen(0, '127.0.0.1', done))
    const { port } = view.#server.address()
    view.url = `http://localhost:${port}`
    view.did = `did:web:localhost%3A${port}`
    return view
  }

  stops() {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  /** What a method is answered: JSON, a status and headers. */
  answers(nsid, body, { status = 200, headers = {} } = {}) {
    this.#answers.set(nsid, { body, status, headers })
  }

  /** The newest call of a method. */
  newest(nsid) {
    const call = this.calls.findLast((one) => one.nsid === nsid)
    if (!call) throw new Error(`${nsid} did not reach the service`)
    return call
  }

  async #serve(request, response) {
    const { pathname, searchParams } = new URL(request.url, this.url)
    if (pathname === '/.well-known/did.json') {
      const service = SERVICES.map((id) => ({ id: `#${id}`, type: 'Service', serviceEndpoint: this.url }))
      response.setHeader('content-type', 'application/json')
      return response.end(JSON.stringify({ '@context': ['https://www.w3.org/ns/did/v1'], id: this.did, service }))
    }
    const pieces = []
    for await (const piece of request) pieces.push(piece)
    const nsid = pathname.replace('/xrpc/', '')
    const body = Buffer.concat(pieces)
    this.calls.push({ nsid, searchParams, headers: request.headers, body })
    const missing = { status: 501, headers: {}, body: { error: 'MethodNotImplemented', message: nsid } }
    const answer = this.#answers.get(nsid) ?? missing
    const type = answer.body === undefined ? {} : { 'content-type': 'application/json' }
    response.writeHead(answer.status, { ...type, ...answer.headers })
    response.end(answer.body === undefined ? undefined : JSON.stringify(answer.body))
  }
}
