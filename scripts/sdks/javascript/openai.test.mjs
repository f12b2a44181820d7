import assert from 'node:assert/strict'
import test from 'node:test'
import OpenAI from 'openai'
import { zodResponseFormat } from 'openai/helpers/zod'
import { z } from 'zod'
import { anna, getWeather, hello, model, tool, untilIdle, url, weather } from './asked.mjs'

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
const completions = openai.chat.completions

test('a chat comes whole and in pieces', async () => {
  const asked = { model, messages: hello, temperature: 0, max_tokens: 40 }
  const whole = await completions.create(asked)
  const stream = await completions.create({
    ...asked,
    stream: true,
    stream_options: { include_usage: true },
  })
  let text = ''
  let usage
  for await (const part of stream) {
    text += part.choices[0]?.delta.content ?? ''
    usage = part.usage ?? usage
  }
  assert.ok(text)
  assert.equal(text, whole.choices[0].message.content)
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens)
})

test('streamed arguments are those of the whole call', async () => {
  const asked = { model, messages: weather, tools: [tool], temperature: 0 }
  const whole = await completions.create(asked)
  const runner = completions.stream(asked)
  const pieces = []
  runner.on('tool_calls.function.arguments.delta', (event) => pieces.push(event.arguments_delta))
  const streamed = await runner.finalChatCompletion()
  const [call] = streamed.choices[0].message.tool_calls
  assert.deepEqual(call.function.name, 'get_weather')
  assert.equal(call.function.arguments, whole.choices[0].message.tool_calls[0].function.arguments)
  assert.equal(pieces.join(''), call.function.arguments)
  assert.ok(pieces.length > 1, 'they come while they are written')
  assert.equal(streamed.choices[0].finish_reason, 'tool_calls')
})

test('runTools goes round until an answer', async () => {
  const asked = []
  const runner = completions.runTools({
    model,
    messages: weather,
    temperature: 0,
    max_tokens: 200,
    tools: [
      {
        type: 'function',
        function: {
          ...getWeather,
          parse: JSON.parse,
          function: ({ city }) => {
            asked.push(city)
            return 'sunny, 21 degrees'
          },
        },
      },
    ],
  })
  assert.ok(await runner.finalContent())
  assert.deepEqual(asked, ['Paris'])
})

test('a zod schema is parsed', async () => {
  const person = z.object({ name: z.string().max(20), age: z.number().int() })
  const done = await completions.parse({
    model,
    messages: anna,
    reasoning_effort: 'none',
    response_format: zodResponseFormat(person, 'person'),
  })
  assert.ok(Number.isInteger(done.choices[0].message.parsed.age))
})

test('texts are embedded, by default as base64', async () => {
  const { data } = await openai.embeddings.create({ model, input: ['a', 'b'] })
  const plain = await openai.embeddings.create({ model, input: 'a', encoding_format: 'float' })
  assert.equal(data.length, 2)
  assert.deepEqual(data[0].embedding.map(Math.fround), plain.data[0].embedding.map(Math.fround))
})

test('a response is made, streamed and gone on behind', async () => {
  const made = await openai.responses.create({ model, input: 'Hello', temperature: 0 })
  assert.ok(made.output_text)
  const stream = openai.responses.stream({
    model,
    input: 'Hello',
    temperature: 0,
    previous_response_id: made.id,
  })
  const final = await stream.finalResponse()
  assert.ok(final.output_text)
  assert.equal(final.status, 'completed')
})

test('a response streams the arguments of its call', async () => {
  const asked = {
    model,
    input: weather,
    temperature: 0,
    tools: [{ type: 'function', strict: false, ...getWeather }],
    tool_choice: 'required',
  }
  const whole = await openai.responses.create(asked)
  const pieces = []
  const stream = openai.responses.stream(asked)
  stream.on('response.function_call_arguments.delta', (event) => pieces.push(event.delta))
  const final = await stream.finalResponse()
  const call = final.output.find((item) => item.type === 'function_call')
  assert.equal(call.arguments, whole.output.find((i) => i.type === 'function_call').arguments)
  assert.equal(pieces.join(''), call.arguments)
  assert.ok(pieces.length > 1, 'they come while they are written')
})

test('a stream that is broken off ends its work', async () => {
  const stream = await openai.completions.create({
    model,
    prompt: 'a b c',
    max_tokens: 1500,
    stream: true,
  })
  for await (const part of stream) if (part.choices[0].text) break
  await untilIdle()
})

test('models are listed and errors are of their kind', async () => {
  const names = []
  for await (const each of openai.models.list()) names.push(each.id)
  assert.ok(names.includes(`${model}:latest`))
  await assert.rejects(completions.create({ model: 'nope', messages: hello }), OpenAI.NotFoundError)
  await assert.rejects(
    completions.create({ model, messages: hello, temperature: 'hot' }),
    OpenAI.BadRequestError,
  )
})
