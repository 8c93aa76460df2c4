// As try.mjs: npm install @segment/analytics-node && node try.mjs
import { Analytics } from '@segment/analytics-node'

const analytics = new Analytics({ writeKey: '$key', host: '$url' })

analytics.track({ userId: 'user-1', event: 'Tried Horizon' })
await analytics.flush()
