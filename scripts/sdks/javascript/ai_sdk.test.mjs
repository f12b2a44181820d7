import assert from 'node:assert/strict'
import test from 'node:test'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import {
  APICallError,
  embedMany,
  generateText,
  jsonSchema,
  Output,
  stepCountIs,
  streamText,
  tool,
} from 'ai'
import { createOllama } from 'ollama-ai-provider-v2'
import { city, model, person, untilIdle, url } from './asked.mjs'

const compatible = createOpenAICompatible({
  name: 'local',
  baseURL: `${url}/v1`,
  includeUsage: true,
  supportsStructuredOutputs: true,
})
const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: 'none' })
const anthropic = createAnthropic({ baseURL: `${url}/v1`, apiKey: 'none' })
const ollama = createOllama({ baseURL: `${url}/api` })
const providers = {
  'openai-compatible': (name) => compatible(name),
  'openai chat': (name) => openai.chat(name),
  'openai responses': (name) => openai.responses(name),
  anthropic: (name) => anthropic(name),
  ollama: (name) => ollama(name),
}
const asked = { temperature: 0, maxRetries: 0 }

for (const [name, modelOf] of Object.entries(providers)) {
  test(`${name}: a text comes whole and in pieces`, async () => {
    const prompt = 'How do I pull a model?'
    const common = { ...asked, model: modelOf(model), prompt, maxOutputTokens: 40 }
    const whole = await generateText(common)
    const stream = streamText(common)
    let text = ''
    for await (const piece of stream.textStream) text += piece
    assert.ok(text)
    assert.equal(text, whole.text)
    const usage = await stream.usage
    assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0)
    assert.equal(usage.outputTokens, whole.usage.outputTokens)
  })

  test(`${name}: a tool is called, and the answer goes on behind its result`, async () => {
    const places = []
    const getWeather = tool({
      description: 'weather of a city',
      inputSchema: jsonSchema(city),
      execute: async (input) => {
        places.push(input.city)
        return 'sunny, 21 degrees'
      },
    })
    const stream = streamText({
      ...asked,
      model: modelOf(model),
      prompt: 'What is the weather in Paris?',
      tools: { get_weather: getWeather },
      maxOutputTokens: 300,
      stopWhen: stepCountIs(3),
    })
    let arguments_ = ''
    for await (const part of stream.fullStream) {
      if (part.type === 'error') throw part.error
      if (part.type === 'tool-input-delta') arguments_ += part.delta
    }
    assert.equal(places[0], 'Paris')
    assert.ok(arguments_.includes('Paris'))
    assert.ok((await stream.steps).length > 1)
  })

  test(`${name}: a schema holds the answer`, async () => {
    const { output } = await generateText({
      ...asked,
      model: modelOf(model),
      prompt: 'Anna is 34 years old. Who is it?',
      output: Output.object({ schema: jsonSchema(person) }),
      maxOutputTokens: 200,
    })
    assert.ok(Number.isInteger(output.age))
  })

  test(`${name}: an unknown model is an error with its status`, async () => {
    await assert.rejects(
      generateText({ ...asked, model: modelOf('nope'), prompt: 'Hello' }),
      (error) => {
        assert.ok(APICallError.isInstance(error))
        assert.equal(error.statusCode, 404)
        assert.match(error.responseBody, /model 'nope' not found/)
        return true
      },
    )
  })

  test(`${name}: a stream that is broken off ends its work`, async () => {
    const stop = new AbortController()
    const stream = streamText({
      ...asked,
      model: modelOf(model),
      prompt: 'Tell me all you know.',
      maxOutputTokens: 1500,
      abortSignal: stop.signal,
      onError: () => {},
    })
    for await (const part of stream.fullStream) if (part.type === 'text-delta') stop.abort()
    await untilIdle()
  })
}

test('texts are embedded', async () => {
  const values = ['a', 'b']
  for (const embedder of [
    compatible.embeddingModel(model),
    openai.embedding(model),
    ollama.embeddingModel(model),
  ]) {
    const { embeddings } = await embedMany({ model: embedder, values })
    assert.equal(embeddings.length, 2)
  }
})
