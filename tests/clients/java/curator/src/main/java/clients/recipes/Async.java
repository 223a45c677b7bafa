package clients.recipes;

import clients.Program;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.x.async.AsyncCuratorFramework;
import org.apache.curator.x.async.AsyncStage;
import org.apache.curator.x.async.AsyncWrappers;
import org.apache.curator.x.async.WatchMode;
import org.apache.curator.x.async.api.CreateOption;
import org.apache.curator.x.async.migrations.Migration;
import org.apache.curator.x.async.migrations.MigrationException;
import org.apache.curator.x.async.migrations.MigrationManager;
import org.apache.curator.x.async.migrations.MigrationSet;
import org.apache.curator.x.async.modeled.JacksonModelSerializer;
import org.apache.curator.x.async.modeled.ModelSpec;
import org.apache.curator.x.async.modeled.ModeledFramework;
import org.apache.curator.x.async.modeled.ZNode;
import org.apache.curator.x.async.modeled.ZPath;
import org.apache.curator.x.async.modeled.cached.CachedModeledFramework;
import org.apache.curator.x.async.modeled.versioned.Versioned;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.EventType;

/** curator-x-async: the same operations as stages, and znodes as objects. */
final class Async {
    static void all(Recipes recipes) {
        recipes.prove("AsyncCuratorFramework", "stages end with results, refusals and events", Async::basic);
        recipes.prove("AsyncWrappers", "locks, parents and children with their data as stages", Async::wrappers);
        recipes.prove("ModeledFramework", "objects are written, read, versioned and cached as such", Async::modeled);
        recipes.prove("MigrationManager", "migrations are done once, whole, and refused when they differ",
                Async::migrations);
    }

    private static <T> T get(CompletionStage<T> stage) throws Exception {
        return stage.toCompletableFuture().get(Stage.PATIENCE_S, TimeUnit.SECONDS);
    }

    /** The stage must end with this exception. */
    private static void refused(Class<? extends Exception> expected, String what, CompletionStage<?> stage) {
        Program.refused(expected, what, () -> {
            try {
                get(stage);
            } catch (ExecutionException failure) {
                throw (Exception) failure.getCause();
            }
        });
    }

    private static void basic(Stage stage) throws Exception {
        AsyncCuratorFramework async = AsyncCuratorFramework.wrap(stage.client(0));
        AsyncCuratorFramework other = AsyncCuratorFramework.wrap(stage.client(1));
        String path = stage.path("node");
        String made = get(async.create().withOptions(Set.of(CreateOption.createParentsIfNeeded))
                .forPath(path, Program.bytes("one"))
                .thenCompose(name -> async.setData().forPath(name, Program.bytes("two")).thenApply(stat -> name)));
        Program.require(made.equals(path), "made " + made);
        refused(KeeperException.NodeExistsException.class, "a second create", async.create().forPath(path));

        AsyncStage<byte[]> watched = async.with(WatchMode.successOnly).watched().getData().forPath(path);
        Program.require(Program.text(get(watched)).equals("two"), "other data are there");
        get(other.setData().forPath(path, Program.bytes("three")));
        Program.require(get(watched.event()).getType() == EventType.NodeDataChanged, "another event");

        get(async.transaction().forOperations(List.of(
                async.transactionOp().create().withMode(CreateMode.PERSISTENT).forPath(path + "/child"),
                async.transactionOp().setData().withVersion(2).forPath(path, Program.bytes("four")))));
        refused(KeeperException.BadVersionException.class, "a transaction of an old version",
                async.transaction().forOperations(List.of(
                        async.transactionOp().create().forPath(path + "/half"),
                        async.transactionOp().setData().withVersion(2).forPath(path))));
        Program.require(get(async.getChildren().forPath(path)).equals(List.of("child")), "half of it was done");
        Program.require(get(async.checkExists().forPath(path)).getVersion() == 3, "the version is not 3");
    }

    private static void wrappers(Stage stage) throws Exception {
        String path = stage.path("parent");
        AtomicInteger inside = new AtomicInteger();
        stage.everyClient((number, client) -> {
            AsyncCuratorFramework async = AsyncCuratorFramework.wrap(client);
            get(AsyncWrappers.asyncEnsureContainers(async, path));
            get(async.create().forPath(path + '/' + number, Program.bytes("of " + number)));
            // The lock belongs to the thread that took it.
            ExecutorService thread = Executors.newSingleThreadExecutor();
            InterProcessMutex mutex = new InterProcessMutex(client, stage.path("lock"));
            get(AsyncWrappers.lockAsync(mutex, Stage.PATIENCE_S, TimeUnit.SECONDS, thread).thenRunAsync(() -> {
                Program.require(inside.incrementAndGet() == 1, "two are inside");
                inside.decrementAndGet();
                AsyncWrappers.release(mutex);
            }, thread));
            thread.shutdown();
        });
        stage.synced(0);
        Map<String, byte[]> children =
                get(AsyncWrappers.childrenWithData(AsyncCuratorFramework.wrap(stage.client(0)), path));
        for (int i = 0; i < stage.size(); i++) {
            Program.require(Program.text(children.get(path + '/' + i)).equals("of " + i), "children are " + children);
        }
    }

    /** What a modeled znode holds. */
    public static final class Host {
        public String name;
        public int load;

        public Host() {}

        Host(String name, int load) {
            this.name = name;
            this.load = load;
        }
    }

    private static void modeled(Stage stage) throws Exception {
        ModelSpec<Host> all = ModelSpec.builder(
                ZPath.parseWithIds(stage.path("hosts") + "/{id}"), JacksonModelSerializer.build(Host.class)).build();
        AsyncCuratorFramework writing = AsyncCuratorFramework.wrap(stage.client(0));
        AsyncCuratorFramework reading = AsyncCuratorFramework.wrap(stage.client(1));
        ModeledFramework<Host> a = ModeledFramework.wrap(writing, all.resolved("a"));
        ModeledFramework<Host> b = ModeledFramework.wrap(writing, all.resolved("b"));
        get(a.set(new Host("first", 1)));
        get(b.set(new Host("second", 2)));
        Program.require(get(a.read()).load == 1, "another object is there");

        Versioned<Host> read = get(a.versioned().read());
        get(a.versioned().set(Versioned.from(new Host("first", 3), read.version())));
        // As a transaction, because the update of Curator 4.3 forgets the version.
        refused(KeeperException.BadVersionException.class, "a set of an old version", a.inTransaction(
                List.of(a.versioned().updateOp(Versioned.from(new Host("first", 4), read.version())))));

        ModeledFramework<Host> root = ModeledFramework.wrap(reading, all.parent());
        stage.synced(1);
        Map<String, Integer> loads = new ConcurrentHashMap<>();
        for (ZNode<Host> node : get(root.childrenAsZNodes())) {
            loads.put(node.path().nodeName(), node.model().load);
        }
        Program.require(loads.equals(Map.of("a", 3, "b", 2)), "the loads are " + loads);

        Map<String, Integer> followed = new ConcurrentHashMap<>();
        CachedModeledFramework<Host> cached = root.cached();
        cached.listenable().addListener((type, path, stat, model) -> {
            if (type == org.apache.curator.x.async.modeled.cached.ModeledCacheListener.Type.NODE_REMOVED) {
                followed.remove(path.nodeName());
            } else if (model != null) {
                followed.put(path.nodeName(), model.load);
            }
        });
        cached.start();
        get(b.delete());
        get(a.set(new Host("first", 5)));
        Program.eventually("the cache follows to the end", () -> followed.equals(Map.of("a", 5)));
        cached.close();
        get(writing.transaction().forOperations(List.of(a.updateOp(new Host("first", 6)), b.createOp(new Host("b", 7)))));
        Program.require(get(b.read()).load == 7, "the transaction was not done");
    }

    private static void migrations(Stage stage) throws Exception {
        String path = stage.path("migrated");
        List<Integer> done = new java.util.concurrent.CopyOnWriteArrayList<>();
        ExecutorService threads = Executors.newCachedThreadPool();
        stage.client(0).create().creatingParentsIfNeeded().forPath(path);
        stage.everyClient((number, client) -> {
            stage.synced(number);
            MigrationManager manager = manager(stage, client, threads);
            get(manager.migrate(MigrationSet.build("set", List.of(
                    migration(client, path + "/first", 1, done), migration(client, path + "/second", 2, done)))));
        });
        Program.require(stage.synced(0).getChildren().forPath(path).size() == 2, "not all migrations were done");
        CuratorFramework client = stage.client(0);
        refused(MigrationException.class, "migrations other than those that were done",
                manager(stage, client, threads).migrate(
                        MigrationSet.build("set", List.of(migration(client, path + "/other", 3, done)))));
        threads.shutdown();
    }

    private static MigrationManager manager(Stage stage, CuratorFramework client, ExecutorService threads) {
        return new MigrationManager(AsyncCuratorFramework.wrap(client), stage.path("lock"), stage.path("meta"),
                threads, Duration.ofSeconds(Stage.PATIENCE_S));
    }

    private static Migration migration(CuratorFramework client, String path, int number, List<Integer> done) {
        return () -> {
            done.add(number);
            try {
                return List.of(client.transactionOp().create().forPath(path, Program.bytes(number)));
            } catch (Exception failure) {
                throw new IllegalStateException(failure);
            }
        };
    }
}
