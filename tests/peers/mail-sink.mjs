// A mail sink: takes any message over SMTP and writes it to a folder as NUMBER.eml.
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

/** Starts the sink and gives its port. */
export async function mailSink(folder) {
  let count = 0
  const keep = (mail) => writeFileSync(join(folder, `${String(++count).padStart(6, '0')}.eml`), mail, 'latin1')
  const server = createServer((socket) => converse(socket, keep))
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  return server.address().port
}

function converse(socket, keep) {
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
        keep(text)
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
}
