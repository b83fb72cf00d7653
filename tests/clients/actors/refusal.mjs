// What a refusal must look like, for calls of the SDK and for plain HTTP.
import assert from 'node:assert/strict'

/** Asserts that a call of the SDK was refused with this status and error name (a string or a list). */
export async function refused(call, status, names, message) {
  let outcome
  try {
    outcome = await call
  } catch (error) {
    const seen = `${error.status} ${error.error}: ${error.message}`
    assert.equal(error.status, status, `status of "${seen}"`)
    if (names) assert.ok([names].flat().includes(error.error), `error name of "${seen}", wanted ${names}`)
    if (message) assert.match(error.message, message)
    return error
  }
  assert.fail(`expected ${status} ${names ?? ''}, but it succeeded: ${JSON.stringify(outcome?.data)}`)
}

/** Asserts the status and the `{error, message}` body of a plain HTTP answer. */
export async function answers(response, status, names) {
  const text = await response.text()
  assert.equal(response.status, status, `status of ${text.slice(0, 300)}`)
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/, text.slice(0, 300))
  const body = JSON.parse(text)
  assert.equal(typeof body.message, 'string', text)
  if (names) assert.ok([names].flat().includes(body.error), `error name in ${text}, wanted ${names}`)
  return body
}
