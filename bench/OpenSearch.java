import static org.codelibs.opensearch.runner.OpenSearchRunner.newConfigs;

import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One OpenSearch node in a folder, on loopback: java -cp "lib/*" OpenSearch.java HTTP TRANSPORT FOLDER */
public class OpenSearch {
    public static void main(String[] words) throws InterruptedException {
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> {
            settings.put("http.port", words[0]);
            settings.put("transport.port", words[1]);
            settings.put("network.host", "127.0.0.1");
            settings.put("discovery.type", "single-node");
            settings.putList("node.roles", "cluster_manager", "data", "ingest");
            // The machine's disk may be nearly full, and that is not what is tested.
            settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
        });
        runner.build(newConfigs().basePath(words[2]).clusterName("tests").numOfNode(1).useLogger());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                runner.close();
            } catch (java.io.IOException e) {
                System.err.println(e);
            }
        }));
        Thread.currentThread().join(); // every other thread is a daemon
    }
}
