package clients.recipes;

import clients.Program;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheBridge;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;

/** What Curator 5 has beyond Curator 4: all that rests on persistent watches. */
final class OfThisVersion {
    static void all(Recipes recipes) {
        recipes.prove("CuratorCache", "follows a tree, each change once and in its order, to what is there in the end",
                OfThisVersion::curatorCache);
        recipes.prove("CuratorCacheBridge", "is a CuratorCache here, because persistent watches are offered",
                OfThisVersion::bridge);
        recipes.prove("PersistentWatcher", "every change of a tree is told, until it is closed",
                OfThisVersion::persistentWatcher);
        recipes.prove("Watches", "a persistent watch tells again and again, until it is removed",
                OfThisVersion::watches);
        recipes.prove("Idempotent", "a change that was done already is not refused", OfThisVersion::idempotent);
    }

    private static void curatorCache(Stage stage) throws Exception {
        String path = stage.path("tree");
        CuratorFramework writer = stage.client(1);
        writer.create().creatingParentsIfNeeded().forPath(path, Program.bytes("root"));
        stage.synced(0);
        Map<String, String> followed = new ConcurrentHashMap<>();
        CountDownLatch initialized = new CountDownLatch(1);
        CuratorCache cache = CuratorCache.build(stage.client(0), path);
        cache.listenable().addListener(CuratorCacheListener.builder()
                .forCreates(made -> Program.require(
                        followed.put(made.getPath(), Program.text(made.getData())) == null, made + " is made twice"))
                .forChanges((before, after) -> {
                    String known = followed.put(after.getPath(), Program.text(after.getData()));
                    Program.require(Program.text(before.getData()).equals(known), after + " does not follow " + known);
                })
                .forDeletes(gone -> Program.require(followed.remove(gone.getPath()) != null, gone + " was not there"))
                .forInitialized(initialized::countDown)
                .build());
        cache.start();
        Program.require(initialized.await(Stage.PATIENCE_S, TimeUnit.SECONDS), "the cache is never initialised");
        for (int i = 0; i < 5; i++) {
            String child = path + "/child-" + i;
            writer.create().forPath(child, Program.bytes("first"));
            writer.setData().forPath(child, Program.bytes("second"));
            writer.create().forPath(child + "/below", Program.bytes("below"));
        }
        writer.delete().deletingChildrenIfNeeded().forPath(path + "/child-0");
        Map<String, String> expected = new HashMap<>(Map.of(path, "root"));
        for (int i = 1; i < 5; i++) {
            expected.put(path + "/child-" + i, "second");
            expected.put(path + "/child-" + i + "/below", "below");
        }
        Program.eventually("the events amount to " + expected, () -> followed.equals(expected));
        Map<String, String> cached = new HashMap<>();
        cache.stream().forEach(data -> cached.put(data.getPath(), Program.text(data.getData())));
        Program.require(cached.equals(expected), "expected " + expected + ", cached " + cached);
        cache.close();
    }

    private static void bridge(Stage stage) throws Exception {
        String path = stage.path("node");
        List<String> told = new CopyOnWriteArrayList<>();
        try (CuratorCacheBridge cache = CuratorCache.bridgeBuilder(stage.client(0), path).build()) {
            Program.require(cache.isCuratorCache(), "persistent watches are not seen to be offered");
            cache.listenable().addListener((type, before, after) -> told.add(type.name()));
            cache.start();
            stage.client(1).create().creatingParentsIfNeeded().forPath(path);
            Program.eventually("the cache has the znode", () -> cache.get(path).map(ChildData::getPath).isPresent());
            Program.eventually("the creation is told, once", () -> told.equals(List.of("NODE_CREATED")));
        }
    }

    private static void persistentWatcher(Stage stage) throws Exception {
        String path = stage.path("tree");
        CuratorFramework writer = stage.client(1);
        writer.create().creatingParentsIfNeeded().forPath(path);
        List<String> told = new CopyOnWriteArrayList<>();
        List<String> expected = new CopyOnWriteArrayList<>();
        CountDownLatch set = new CountDownLatch(1);
        PersistentWatcher watcher = new PersistentWatcher(stage.synced(0), path, true);
        watcher.getListenable().addListener(event -> {
            if (event.getType() != Watcher.Event.EventType.None) {
                told.add(event.getType() + " " + event.getPath().substring(path.length()));
            }
        });
        watcher.getResetListenable().addListener(set::countDown);
        watcher.start();
        Program.require(set.await(Stage.PATIENCE_S, TimeUnit.SECONDS), "the watch is never set");
        for (int i = 0; i < 3; i++) {
            writer.create().forPath(path + "/child");
            writer.setData().forPath(path + "/child", Program.bytes(i));
            writer.delete().forPath(path + "/child");
            expected.addAll(List.of("NodeCreated /child", "NodeDataChanged /child", "NodeDeleted /child"));
        }
        Program.eventually("all changes were told", () -> told.size() >= expected.size());
        Program.require(told.equals(expected), "expected " + expected + ", told " + told);
        watcher.close();
    }

    private static void watches(Stage stage) throws Exception {
        String path = stage.path("node");
        CuratorFramework watching = stage.client(0);
        CuratorFramework writer = stage.client(1);
        writer.create().creatingParentsIfNeeded().forPath(path);
        stage.synced(0);
        List<Watcher.Event.EventType> told = new CopyOnWriteArrayList<>();
        Watcher watcher = (WatchedEvent event) -> told.add(event.getType());
        watching.watchers().add().withMode(AddWatchMode.PERSISTENT).usingWatcher(watcher).forPath(path);
        for (int i = 0; i < 3; i++) {
            writer.setData().forPath(path, Program.bytes(i));
        }
        writer.create().forPath(path + "/child");
        Program.eventually("three changes and a child are told", () -> told.equals(List.of(
                Watcher.Event.EventType.NodeDataChanged, Watcher.Event.EventType.NodeDataChanged,
                Watcher.Event.EventType.NodeDataChanged, Watcher.Event.EventType.NodeChildrenChanged)));
        watching.watchers().remove(watcher).forPath(path);
        Program.eventually("the removal is told",
                () -> told.get(told.size() - 1) == Watcher.Event.EventType.PersistentWatchRemoved);
        int before = told.size();
        writer.setData().forPath(path, Program.bytes("untold"));
        // The event would have come before this answer.
        stage.synced(0).getData().forPath(path);
        Program.require(told.size() == before, "a watch that was removed tells of " + told.get(told.size() - 1));
    }

    private static void idempotent(Stage stage) throws Exception {
        String path = stage.path("node");
        CuratorFramework client = stage.client(0);
        client.create().idempotent().creatingParentsIfNeeded().forPath(path, Program.bytes("same"));
        client.create().idempotent().forPath(path, Program.bytes("same"));
        Program.refused(KeeperException.NodeExistsException.class, "an idempotent create of other data",
                () -> client.create().idempotent().forPath(path, Program.bytes("other")));
        client.setData().idempotent().withVersion(0).forPath(path, Program.bytes("set"));
        client.setData().idempotent().withVersion(0).forPath(path, Program.bytes("set"));
        Program.refused(KeeperException.BadVersionException.class, "an idempotent set of other data",
                () -> client.setData().idempotent().withVersion(0).forPath(path, Program.bytes("other")));
        client.delete().idempotent().forPath(path);
        client.delete().idempotent().forPath(path);
    }
}
