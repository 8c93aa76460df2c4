// As try.mjs: npm install @rudderstack/rudder-sdk-node && node try.mjs
import RudderAnalytics from '@rudderstack/rudder-sdk-node'

const analytics = new RudderAnalytics('$key', { dataPlaneUrl: '$url' })

analytics.track({ userId: 'user-1', event: 'Tried Horizon' })
await analytics.flush()
