// Every call of Segment's Kotlin SDK, by its interface for Java: HOST:PORT KEY
import com.segment.analytics.kotlin.core.RequestFactory;
import com.segment.analytics.kotlin.core.compat.ConfigurationBuilder;
import com.segment.analytics.kotlin.core.compat.JavaAnalytics;
import java.net.HttpURLConnection;
import java.util.List;
import java.util.Map;

public class KotlinCalls {
    // It speaks https alone, and the collector of the tests has no certificate.
    static class Plain extends RequestFactory {
        @Override
        public HttpURLConnection openConnection(String url) {
            return super.openConnection(url.replace("https://", "http://"));
        }
    }

    public static void main(String[] args) throws Exception {
        var configuration = new ConfigurationBuilder(args[1])
            .setApplication("tests-" + args[1])
            .setApiHost(args[0] + "/v1")
            .setCdnHost(args[0] + "/v1")
            .setRequestFactory(new Plain())
            .setFlushAt(100)
            .build();
        var analytics = new JavaAnalytics(configuration);
        Thread.sleep(1000); // until it has its settings
        var traits = Map.of(
            "email", "Ann@Example.com", "plan", "pro", "age", 41, "address", Map.of("city", "Wien"));
        analytics.identify("u1", traits);
        analytics.track("Order Completed", Map.of("total", 12.5, "items", List.of("a", "ä€😀")));
        analytics.screen("Home", Map.of("width", 320), "App");
        analytics.group("g1", Map.of("name", "Acme", "seats", 7));
        analytics.alias("u2");
        Thread.sleep(1000); // until all are in its file
        analytics.flush();
        System.in.read(); // until the test has seen them
        System.exit(0);
    }
}
