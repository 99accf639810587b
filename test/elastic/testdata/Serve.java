import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** One node with its files in the folder and its API on the loopback port given, until its input ends. */
class Serve extends Node {
    Serve(Settings settings) {
        super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "test"), List.of(Netty4Plugin.class), false);
    }

    public static void main(String[] args) throws Exception {
        var settings = Settings.builder()
            .put("path.home", args[0])
            .put("path.data", Path.of(args[0], "data"))
            .put("cluster.name", "test")
            .put("node.name", "test")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", args[1])
            .put("transport.port", "0")
            .put("cluster.routing.allocation.disk.threshold_enabled", false);
        for (int i = 2; i + 1 < args.length; i += 2) settings.put(args[i], args[i + 1]);
        try (var node = new Serve(settings.build())) {
            node.start();
            while (System.in.read() >= 0) {}
        }
    }
}
