import assert from 'node:assert/strict'
import test from 'node:test'
import { Ollama } from 'ollama'
import { anna, hello, model, person, tool, untilIdle, url, weather } from './asked.mjs'

const ollama = new Ollama({ host: url })

test('a chat comes whole and in pieces', async () => {
  const asked = { model, messages: hello, options: { temperature: 0, num_predict: 40 } }
  const whole = await ollama.chat(asked)
  let text = ''
  let last
  for await (const part of await ollama.chat({ ...asked, stream: true })) {
    text += part.message.content
    last = part
  }
  assert.ok(text)
  assert.equal(text, whole.message.content)
  assert.equal(last.eval_count, whole.eval_count)
  assert.ok(last.done && last.total_duration > 0 && last.prompt_eval_count > 0)
})

test('a text is generated, with a context to go on behind', async () => {
  const first = await ollama.generate({ model, prompt: 'Hello', options: { num_predict: 8 } })
  assert.ok(first.context.length > 0)
  const { context } = first
  const next = await ollama.generate({ model, prompt: 'Again', context, options: { num_predict: 8 } })
  assert.ok(next.prompt_eval_count > first.prompt_eval_count)
})

test('tools are called', async () => {
  const { message } = await ollama.chat({ model, messages: weather, tools: [tool] })
  assert.equal(message.tool_calls[0].function.name, 'get_weather')
  assert.deepEqual(message.tool_calls[0].function.arguments, { city: 'Paris' })
})

test('a schema holds the answer', async () => {
  const { message } = await ollama.chat({ model, messages: anna, format: person, think: false })
  const found = JSON.parse(message.content)
  assert.deepEqual(Object.keys(found), ['name', 'age'])
  assert.ok(Number.isInteger(found.age))
})

test('texts are embedded', async () => {
  const { embeddings } = await ollama.embed({ model, input: ['a', 'b'] })
  assert.equal(embeddings.length, 2)
  const { embedding } = await ollama.embeddings({ model, prompt: 'a' })
  assert.equal(embedding.length, embeddings[0].length)
})

test('a stream that is broken off ends its work', async () => {
  const own = new Ollama({ host: url })
  const options = { num_predict: 1500, stop: [] }
  const stream = await own.generate({ model, prompt: 'a b c', raw: true, stream: true, options })
  await assert.rejects(
    async () => {
      for await (const part of stream) if (part.response) own.abort()
    },
    { name: 'AbortError' },
  )
  await untilIdle()
})

test('the library is listed, shown and copied', async () => {
  const { models } = await ollama.list()
  assert.ok(models.some((each) => each.name === `${model}:latest`))
  const shown = await ollama.show({ model })
  assert.ok(shown.capabilities.includes('completion'))
  assert.ok(shown.details.parameter_size)
  assert.ok(shown.model_info['general.architecture'])
  await ollama.copy({ source: model, destination: 'copy-of-it' })
  await ollama.create({ model: 'made-of-it', from: model, system: 'Be short.', stream: false })
  assert.match((await ollama.show({ model: 'made-of-it' })).system, /short/)
  for (const name of ['copy-of-it', 'made-of-it']) await ollama.delete({ model: name })
  const { models: running } = await ollama.ps()
  assert.ok(running.length > 0)
  assert.ok((await ollama.version()).version)
})

test('errors have their status and text', async () => {
  await assert.rejects(ollama.chat({ model: 'nope', messages: hello }), (error) => {
    assert.equal(error.status_code, 404)
    assert.equal(error.message, "model 'nope' not found")
    return true
  })
})
