package clients;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.dubbo.common.URL;
import org.apache.dubbo.registry.Registry;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** Providers come and go through one registry, and another one is told of each. */
public final class Registries {
    private Registries() {}

    public static void main(String[] arguments) throws Exception {
        DubboProgram program = new DubboProgram(arguments, Program.SESSION_TIMEOUT_MS);
        Registry offering = program.registry(0);
        Registry looking = program.registry(1);
        AtomicReference<Set<Integer>> offered = new AtomicReference<>(Set.of());
        ConcurrentLinkedQueue<String> surprises = new ConcurrentLinkedQueue<>();
        AtomicInteger newest = new AtomicInteger();
        program.subscribe(looking, ports -> {
            ports.stream().filter(port -> port > newest.get()).forEach(port -> surprises.add("nobody offers " + port));
            offered.set(ports);
        });
        URL steady = DubboProgram.provider(1);
        newest.set(1);
        offering.register(steady);
        Program.eventually("the first provider is told of", () -> offered.get().equals(Set.of(1)));
        long owner = owner(program, steady);
        program.run(List.of(() -> {
            while (!program.finishing()) {
                int port = newest.incrementAndGet();
                URL provider = DubboProgram.provider(port);
                offering.register(provider);
                Program.eventually(port + " is told of", () -> offered.get().equals(Set.of(1, port)));
                offering.unregister(provider);
                Program.eventually(port + " is told to be gone", () -> offered.get().equals(Set.of(1)));
                program.acknowledged();
            }
        }));
        Program.require(surprises.isEmpty(), surprises.toString());
        Program.require(owner(program, steady) == owner, "the session of the registry was lost");
        program.verdict(Map.of("providers", newest.get()));
    }

    /** The session that holds the provider's znode, as any client sees it. */
    private static long owner(DubboProgram program, URL provider) throws Exception {
        String name = URLEncoder.encode(provider.toFullString(), StandardCharsets.UTF_8);
        String path = program.root + "/" + DubboProgram.SERVICE + "/providers/" + name;
        try (ZooKeeper client = new ZooKeeper(String.join(",", program.hosts), Program.SESSION_TIMEOUT_MS, event -> {})) {
            Stat[] stat = new Stat[1];
            Program.eventually("the provider is in the tree", () -> {
                try {
                    stat[0] = client.exists(path, false);
                } catch (org.apache.zookeeper.KeeperException.ConnectionLossException again) {
                    return false;
                }
                return stat[0] != null;
            });
            return stat[0].getEphemeralOwner();
        }
    }
}
