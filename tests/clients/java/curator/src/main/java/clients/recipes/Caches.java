package clients.recipes;

import clients.Program;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.CuratorWatcher;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.zookeeper.Watcher.Event.EventType;

/** Copies that follow: every change is told, in its order, and the end is what is there. */
@SuppressWarnings("deprecation") // Some of these were replaced by CuratorCache; many still use them.
final class Caches {
    static void all(Recipes recipes) {
        recipes.prove("NodeCache", "follows one znode through creation, change and deletion", Caches::nodeCache);
        recipes.prove("PathChildrenCache", "follows the children of a znode, each change once and in its order",
                Caches::pathChildrenCache);
        recipes.prove("TreeCache", "follows a tree down to the depth it was given, each change once and in its order",
                Caches::treeCache);
        recipes.prove("CuratorWatcher", "one event for one change, none after it was removed, on a thread of choice",
                Caches::watchers);
    }

    private static void nodeCache(Stage stage) throws Exception {
        String path = stage.path("node");
        CuratorFramework writer = stage.client(1);
        writer.create().creatingParentsIfNeeded().forPath(path, Program.bytes("first"));
        stage.synced(0);
        AtomicInteger told = new AtomicInteger();
        ExecutorService thread = Executors.newSingleThreadExecutor();
        try (NodeCache cache = new NodeCache(stage.client(0), path)) {
            cache.getListenable().addListener(told::incrementAndGet, thread);
            cache.start(true);
            Program.require(Program.text(cache.getCurrentData().getData()).equals("first"), "the cache begins empty");
            int changes = 0;
            for (String data : List.of("second", "", "third", "fourth")) {
                int before = told.get();
                if (data.isEmpty()) {
                    writer.delete().forPath(path);
                    Program.eventually("the cache sees the deletion", () -> cache.getCurrentData() == null);
                } else {
                    writer.create().orSetData().forPath(path, Program.bytes(data));
                    Program.eventually("the cache sees " + data, () -> cache.getCurrentData() != null
                            && Program.text(cache.getCurrentData().getData()).equals(data));
                }
                Program.eventually("the listener is told of change " + ++changes, () -> told.get() > before);
            }
        }
        thread.shutdown();
    }

    /** What the events of a cache amount to; none may contradict those before it. */
    private static final class History {
        final Map<String, String> state = new ConcurrentHashMap<>();

        void added(ChildData data) {
            String before = state.put(data.getPath(), Program.text(data.getData()));
            Program.require(before == null, data.getPath() + " is added while it is there");
        }

        void updated(ChildData data) {
            String before = state.put(data.getPath(), Program.text(data.getData()));
            Program.require(before != null, data.getPath() + " is changed while it is not there");
        }

        void removed(ChildData data) {
            Program.require(state.remove(data.getPath()) != null, data.getPath() + " is removed while it is not there");
        }

        void await(Map<String, String> expected) throws Exception {
            Program.eventually("the events of a cache amount to " + expected, () -> state.equals(expected));
        }
    }

    private static void pathChildrenCache(Stage stage) throws Exception {
        String path = stage.path("parent");
        CuratorFramework writer = stage.client(1);
        for (String name : List.of("a", "b")) {
            writer.create().creatingParentsIfNeeded().forPath(path + '/' + name, Program.bytes("begin"));
        }
        stage.synced(0);
        History history = new History();
        CountDownLatch initialized = new CountDownLatch(1);
        try (PathChildrenCache cache = new PathChildrenCache(stage.client(0), path, true)) {
            cache.getListenable().addListener((client, event) -> {
                switch (event.getType()) {
                    case CHILD_ADDED -> history.added(event.getData());
                    case CHILD_UPDATED -> history.updated(event.getData());
                    case CHILD_REMOVED -> history.removed(event.getData());
                    case INITIALIZED -> {
                        Program.require(event.getInitialData().size() == 2, "two children were there at the beginning");
                        initialized.countDown();
                    }
                    default -> { }
                }
            });
            cache.start(PathChildrenCache.StartMode.POST_INITIALIZED_EVENT);
            Program.require(initialized.await(Stage.PATIENCE_S, TimeUnit.SECONDS), "the cache is never initialised");
            Map<String, String> expected = change(writer, path, List.of("a", "b", "c", "d"));
            history.await(expected);
            Map<String, String> cached = new HashMap<>();
            cache.getCurrentData().forEach(data -> cached.put(data.getPath(), Program.text(data.getData())));
            Program.require(cached.equals(expected), "expected " + expected + ", cached " + cached);
        }
    }

    /** Changes all of these, again and again, and returns what is there in the end. */
    private static Map<String, String> change(CuratorFramework writer, String path, List<String> names)
            throws Exception {
        Map<String, String> state = new HashMap<>();
        for (int round = 0; round < 3; round++) {
            for (String name : names) {
                String child = path + '/' + name;
                writer.create().orSetData().creatingParentsIfNeeded().forPath(child, Program.bytes("round " + round));
                state.put(child, "round " + round);
            }
            String deleted = path + '/' + names.get(round);
            writer.delete().forPath(deleted);
            state.remove(deleted);
        }
        return state;
    }

    private static void treeCache(Stage stage) throws Exception {
        String path = stage.path("tree");
        CuratorFramework writer = stage.client(1);
        writer.create().creatingParentsIfNeeded().forPath(path, Program.bytes("root"));
        stage.synced(0);
        History history = new History();
        CountDownLatch initialized = new CountDownLatch(1);
        try (TreeCache cache = TreeCache.newBuilder(stage.client(0), path).setMaxDepth(2).build()) {
            cache.getListenable().addListener((client, event) -> {
                switch (event.getType()) {
                    case NODE_ADDED -> history.added(event.getData());
                    case NODE_UPDATED -> history.updated(event.getData());
                    case NODE_REMOVED -> history.removed(event.getData());
                    case INITIALIZED -> initialized.countDown();
                    default -> { }
                }
            });
            cache.start();
            Program.require(initialized.await(Stage.PATIENCE_S, TimeUnit.SECONDS), "the cache is never initialised");
            Map<String, String> expected = new HashMap<>();
            for (String branch : List.of("left", "right")) {
                writer.create().forPath(path + '/' + branch, Program.bytes(branch));
                expected.put(path + '/' + branch, branch);
                expected.putAll(change(writer, path + '/' + branch, List.of("a", "b", "c", "d")));
            }
            expected.put(path, "root");
            // Deeper than the cache looks.
            writer.create().forPath(path + "/left/d/deep", Program.bytes("unseen"));
            history.await(expected);
            Set<String> names = new HashSet<>(cache.getCurrentChildren(path).keySet());
            Program.require(names.equals(Set.of("left", "right")), "the cache has the children " + names);
            Program.require(cache.getCurrentData(path + "/left/d/deep") == null, "the cache looks too deep");
            writer.delete().deletingChildrenIfNeeded().forPath(path);
            history.await(Map.of());
        }
    }

    private static void watchers(Stage stage) throws Exception {
        String path = stage.path("watched");
        CuratorFramework watching = stage.client(0);
        CuratorFramework writer = stage.client(1);
        List<EventType> told = new java.util.concurrent.CopyOnWriteArrayList<>();
        ExecutorService thread = Executors.newSingleThreadExecutor();
        CuratorWatcher watcher = event -> thread.execute(() -> {
            Program.require(event.getPath().equals(path), "an event of " + event.getPath());
            told.add(event.getType());
        });
        Program.require(watching.checkExists().usingWatcher(watcher).forPath(path) == null, path + " is there");
        writer.create().creatingParentsIfNeeded().forPath(path);
        Program.eventually("the creation is told", () -> told.equals(List.of(EventType.NodeCreated)));
        // One event for each time that it was set.
        writer.setData().forPath(path, Program.bytes("untold"));
        stage.synced(0).getData().usingWatcher(watcher).forPath(path);
        watching.getChildren().usingWatcher(watcher).forPath(path);
        writer.setData().forPath(path, Program.bytes("told"));
        writer.create().forPath(path + "/child");
        Program.eventually("the change and the child are told", () -> told.equals(
                List.of(EventType.NodeCreated, EventType.NodeDataChanged, EventType.NodeChildrenChanged)));
        watching.getData().usingWatcher(watcher).forPath(path);
        watching.watches().remove(watcher).forPath(path);
        Program.eventually("the removal is told", () -> told.size() == 4);
        Program.require(told.get(3) == EventType.DataWatchRemoved, "a removed watch says " + told.get(3));
        writer.setData().forPath(path, Program.bytes("untold"));
        // The event would have come before this answer.
        stage.synced(0).getData().forPath(path);
        CountDownLatch passed = new CountDownLatch(1);
        thread.execute(passed::countDown);
        passed.await();
        Program.require(told.size() == 4, "a watch that was removed tells of " + told.get(told.size() - 1));
        thread.shutdown();
    }
}
