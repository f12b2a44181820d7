// Where the daemon is, and what all clients ask it.

export const url = process.env.LOCALLLM_URL ?? 'http://127.0.0.1:11434'
export const model = process.env.LOCALLLM_MODEL ?? 'pocket'

export const hello = [{ role: 'user', content: 'How do I pull a model?' }]
export const weather = [{ role: 'user', content: 'What is the weather in Paris?' }]
export const city = {
  type: 'object',
  properties: { city: { type: 'string', description: 'name of the city' } },
  required: ['city'],
}
export const getWeather = {
  name: 'get_weather',
  description: 'weather of a city',
  parameters: city,
}
export const tool = { type: 'function', function: getWeather }
export const person = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 20 }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
}
export const anna = [{ role: 'user', content: 'Anna is 34 years old. Who is it?' }]

/** How many requests the daemon answers at this moment. */
export async function countRunning() {
  const reply = await fetch(`${url}/api/top`)
  const top = await reply.json()
  return top.requests.length
}

/** Fails unless the daemon soon has nothing to do any more. */
export async function untilIdle() {
  for (let tries = 0; tries < 50; tries++) {
    if ((await countRunning()) === 0) return
    await new Promise((done) => setTimeout(done, 100))
  }
  throw new Error('a request goes on that nobody waits for')
}
