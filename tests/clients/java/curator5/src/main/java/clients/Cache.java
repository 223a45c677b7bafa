package clients;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;

/** CuratorCache: ends at the final state, and tells each znode's changes in their order. */
final class Cache {
    private static final int CHILDREN = 20;

    /** A cache, and what its events said so far. */
    private static final class Subscriber {
        final Map<String, Long> zxids = new HashMap<>();
        final CuratorCache cache;
        long events;

        Subscriber(CuratorFramework client, String path) {
            cache = CuratorCache.build(client, path);
            cache.listenable().addListener(this::on);
            cache.start();
        }

        private synchronized void on(CuratorCacheListener.Type type, ChildData before, ChildData after) {
            events++;
            String path = (after == null ? before : after).getPath();
            Long known = zxids.get(path);
            switch (type) {
                case NODE_CREATED:
                    Program.require(known == null, path + " is created while it is there");
                    zxids.put(path, after.getStat().getMzxid());
                    break;
                case NODE_CHANGED:
                    long zxid = after.getStat().getMzxid();
                    Program.require(known != null, path + " is changed while it is not there");
                    Program.require(zxid >= known, path + " goes back from " + known + " to " + zxid);
                    zxids.put(path, zxid);
                    break;
                default:
                    Program.require(known != null, path + " is deleted while it is not there");
                    zxids.remove(path);
            }
        }

        boolean isAt(Map<String, String> state) {
            Map<String, String> cached = new HashMap<>();
            cache.stream().forEach(data -> cached.put(data.getPath(), Program.text(data.getData())));
            return cached.equals(state);
        }
    }

    public static void main(String[] arguments) throws Exception {
        CuratorProgram program = new CuratorProgram(arguments);
        String path = program.root + "/tree";
        CuratorFramework writer = program.client(0);
        writer.create().creatingParentsIfNeeded().forPath(path, Program.bytes("root"));
        List<Subscriber> subscribers = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            subscribers.add(new Subscriber(program.client(i), path));
        }
        program.run(List.of(() -> {
            for (int number = 0; !program.finishing(); number++) {
                String child = path + "/child-" + number % CHILDREN;
                if (number / CHILDREN % 3 == 2) {
                    writer.delete().quietly().forPath(child);
                } else {
                    writer.create().orSetData().forPath(child, Program.bytes(number));
                }
                program.acknowledged();
            }
        }));
        Map<String, String> state = new HashMap<>();
        state.put(path, "root");
        for (int i = 0; i < CHILDREN; i++) {
            String child = path + "/child-" + i;
            writer.create().orSetData().forPath(child, Program.bytes("final"));
            state.put(child, "final");
        }
        long events = 0;
        for (Subscriber subscriber : subscribers) {
            Program.eventually("a cache is at the final state", () -> subscriber.isAt(state));
            events += subscriber.events;
        }
        program.verdict(Map.of("events", events));
    }
}
