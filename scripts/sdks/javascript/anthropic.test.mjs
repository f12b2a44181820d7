import assert from 'node:assert/strict'
import test from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { city, hello, model, untilIdle, url, weather } from './asked.mjs'

const anthropic = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 })
const tools = [{ name: 'get_weather', description: 'weather of a city', input_schema: city }]

test('a message comes whole and in pieces', async () => {
  const asked = { model, max_tokens: 40, temperature: 0, messages: hello }
  const whole = await anthropic.messages.create(asked)
  const streamed = await anthropic.messages.stream(asked).finalMessage()
  assert.ok(whole.content[0].text)
  assert.deepEqual(streamed.content, whole.content)
  assert.equal(streamed.usage.output_tokens, whole.usage.output_tokens)
})

test('the input of a call is streamed as it is written', async () => {
  const asked = { model, max_tokens: 200, temperature: 0, messages: weather, tools }
  const whole = await anthropic.messages.create(asked)
  const pieces = []
  const stream = anthropic.messages.stream(asked)
  stream.on('inputJson', (piece) => pieces.push(piece))
  const final = await stream.finalMessage()
  const call = final.content.at(-1)
  assert.deepEqual(call.input, { city: 'Paris' })
  assert.deepEqual(whole.content.at(-1).input, call.input)
  assert.deepEqual(JSON.parse(pieces.join('')), call.input)
  assert.ok(pieces.length > 1, 'it comes while it is written')
  assert.equal(final.stop_reason, 'tool_use')
})

test('a tool result is gone on behind', async () => {
  const called = { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Paris' } }
  const result = { type: 'tool_result', tool_use_id: 'toolu_1', content: 'sunny, 21 degrees' }
  const { content } = await anthropic.messages.create({
    model,
    max_tokens: 60,
    tools,
    messages: [
      ...weather,
      { role: 'assistant', content: [called] },
      { role: 'user', content: [result] },
    ],
  })
  assert.equal(content[0].type, 'text')
})

test('tokens are counted', async () => {
  const { input_tokens: counted } = await anthropic.messages.countTokens({ model, messages: hello })
  const { usage } = await anthropic.messages.create({ model, max_tokens: 1, messages: hello })
  assert.equal(counted, usage.input_tokens + usage.cache_read_input_tokens)
})

test('a stream that is broken off ends its work', async () => {
  const stream = anthropic.messages.stream({
    model,
    max_tokens: 1500,
    messages: [{ role: 'user', content: 'Tell me all you know.' }],
  })
  stream.on('text', () => stream.abort())
  await assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError)
  await untilIdle()
})

test('errors are of their kind', async () => {
  const asked = { model: 'nope', max_tokens: 5, messages: hello }
  await assert.rejects(anthropic.messages.create(asked), Anthropic.NotFoundError)
  await assert.rejects(
    anthropic.messages.create({ ...asked, model, max_tokens: 0 }),
    Anthropic.BadRequestError,
  )
})
