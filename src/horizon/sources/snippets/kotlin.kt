// implementation("com.segment.analytics.kotlin:android:1.22.0")
val analytics = Analytics("$key", applicationContext) {
    apiHost = "$host/v1"
    cdnHost = "$host/v1"
}

analytics.track("Tried Horizon")
