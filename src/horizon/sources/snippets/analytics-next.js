// In your application, after: npm install @segment/analytics-next
import { AnalyticsBrowser } from '@segment/analytics-next'

export const analytics = AnalyticsBrowser.load({ writeKey: '$key', cdnURL: '$url' })

analytics.track('Tried Horizon')
