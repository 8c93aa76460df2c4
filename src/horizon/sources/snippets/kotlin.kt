// implementation("com.segment.analytics.kotlin:android:1.27.0")
// It speaks https alone.$phone_note
val analytics = Analytics("$key", applicationContext) {
    apiHost = "$host/v1"
    cdnHost = "$host/v1"
}

analytics.track("Tried Horizon")
