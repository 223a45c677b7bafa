package clients.recipes;

import clients.Program;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.CuratorTempFramework;
import org.apache.curator.framework.api.CuratorEvent;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.api.transaction.OperationType;
import org.apache.curator.retry.RetryForever;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.data.Stat;

/** CuratorFramework itself: what the recipes are made of. */
final class Framework {
    static void all(Recipes recipes) {
        recipes.prove("CuratorFramework", "every kind of create, change and delete, and what each of them refuses",
                Framework::operations);
        recipes.prove("Background", "answers in the background come in the order of asking, each with its code",
                Framework::background);
        recipes.prove("Namespace", "a client under a namespace sees what is below it, and nothing else",
                Framework::namespace);
        recipes.prove("Transactions", "all of it or none of it, with a result for each part", Framework::transactions);
        recipes.prove("CuratorTempFramework", "connects for one request or transaction, and again for the next",
                Framework::temporary);
        recipes.prove("EnsembleConfig", "the configuration names all members",
                Framework::configuration);
    }

    private static void operations(Stage stage) throws Exception {
        CuratorFramework client = stage.client(0);
        String path = stage.path("node");
        Stat made = new Stat();
        client.create().storingStatIn(made).creatingParentsIfNeeded().forPath(path, Program.bytes("one"));
        Program.require(made.getVersion() == 0 && made.getDataLength() == 3, "a new znode has the stat " + made);
        Program.refused(KeeperException.NodeExistsException.class, "a second create", () -> client.create().forPath(path));
        Stat set = client.setData().withVersion(0).forPath(path, Program.bytes("two"));
        Program.require(set.getVersion() == 1 && set.getMzxid() > made.getMzxid(), "a set znode has the stat " + set);
        Program.refused(KeeperException.BadVersionException.class, "a set of an old version",
                () -> client.setData().withVersion(0).forPath(path, new byte[0]));
        Program.require(client.create().orSetData().forPath(path, Program.bytes("three")).equals(path), "another path");

        String compressed = stage.path("compressed");
        client.create().compressed().forPath(compressed, new byte[10_000]);
        Program.require(client.checkExists().forPath(compressed).getDataLength() < 1_000, "data are not compressed");
        Program.require(client.getData().decompressed().forPath(compressed).length == 10_000, "data come back otherwise");

        String first = client.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                .forPath(stage.path("protected-"), new byte[0]);
        String second = client.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                .forPath(stage.path("protected-"), new byte[0]);
        Program.require(first.endsWith("0000000002") && second.endsWith("0000000003"), first + ", then " + second);
        Program.refused(KeeperException.NoChildrenForEphemeralsException.class, "a child of an ephemeral",
                () -> client.create().forPath(first + "/child"));

        String container = stage.path("container");
        client.create().creatingParentContainersIfNeeded().forPath(container + "/child");
        Program.refused(KeeperException.NotEmptyException.class, "the deletion of a znode that has children",
                () -> client.delete().forPath(container));
        client.delete().guaranteed().deletingChildrenIfNeeded().forPath(container);
        Program.require(client.checkExists().forPath(container) == null, "a deleted znode is there");
        client.delete().quietly().forPath(container);
        Program.refused(KeeperException.NoNodeException.class, "the deletion of what is not there",
                () -> client.delete().forPath(container));

        client.setACL().withVersion(0).withACL(Ids.READ_ACL_UNSAFE).forPath(path);
        Program.require(client.getACL().forPath(path).equals(Ids.READ_ACL_UNSAFE), "another access list");
        Program.refused(KeeperException.NoAuthException.class, "a write that the access list does not allow",
                () -> client.setData().forPath(path, new byte[0]));
    }

    private static void background(Stage stage) throws Exception {
        CuratorFramework client = stage.client(1);
        String path = stage.path("node");
        CompletableFuture<CuratorEvent> parents = new CompletableFuture<>();
        client.create().creatingParentsIfNeeded().inBackground((same, event) -> parents.complete(event)).forPath(path);
        Program.require(parents.get(Stage.PATIENCE_S, TimeUnit.SECONDS).getResultCode() == 0, "not created");
        List<String> answers = new java.util.concurrent.CopyOnWriteArrayList<>();
        for (int i = 0; i < 20; i++) {
            // Every other one is refused.
            int version = i % 2 == 0 ? i / 2 : 1_000;
            client.setData().withVersion(version).inBackground((same, event) -> answers.add(
                    event.getContext() + ":" + event.getResultCode()), i).forPath(path, new byte[i]);
        }
        Program.eventually("all are answered", () -> answers.size() == 20);
        for (int i = 0; i < 20; i++) {
            String expected = i + ":" + (i % 2 == 0 ? 0 : KeeperException.Code.BADVERSION.intValue());
            Program.require(answers.get(i).equals(expected), "expected " + expected + " in " + answers);
        }
    }

    private static void namespace(Stage stage) throws Exception {
        CuratorFramework whole = stage.client(2);
        CuratorFramework below = whole.usingNamespace(stage.path("space").substring(1));
        below.create().creatingParentsIfNeeded().forPath("/a/b", Program.bytes("inside"));
        Program.require(whole.checkExists().forPath(stage.path("space/a/b")) != null, "not where the namespace is");
        Program.require(below.checkExists().forPath(stage.path("space")) == null, "the namespace sees what is outside");
        Program.require(below.getChildren().forPath("/").equals(List.of("a")), "the namespace has other children");
    }

    private static void transactions(Stage stage) throws Exception {
        CuratorFramework client = stage.client(0);
        String path = stage.path("node");
        client.create().creatingParentsIfNeeded().forPath(path);
        List<CuratorTransactionResult> results = client.transaction().forOperations(
                client.transactionOp().check().withVersion(0).forPath(path),
                client.transactionOp().create().forPath(path + "/a", Program.bytes("a")),
                client.transactionOp().setData().withVersion(0).forPath(path, Program.bytes("set")),
                client.transactionOp().create().forPath(path + "/b"),
                client.transactionOp().delete().forPath(path + "/a"));
        List<OperationType> types = results.stream().map(CuratorTransactionResult::getType).toList();
        Program.require(types.equals(List.of(OperationType.CHECK, OperationType.CREATE, OperationType.SET_DATA,
                OperationType.CREATE, OperationType.DELETE)), "the results are of " + types);
        Program.require(results.get(2).getResultStat().getVersion() == 1, "the version is not 1");
        Program.require(client.getChildren().forPath(path).equals(List.of("b")), "not all of it was done");
        Program.refused(KeeperException.BadVersionException.class, "a transaction with a part that cannot be done",
                () -> client.transaction().forOperations(
                        client.transactionOp().create().forPath(path + "/c"),
                        client.transactionOp().delete().withVersion(7).forPath(path + "/b")));
        Program.require(client.getChildren().forPath(path).equals(List.of("b")), "half of it was done");
        // The older form.
        client.inTransaction().create().forPath(path + "/d").and().delete().forPath(path + "/b").and().commit();
        Program.require(client.getChildren().forPath(path).equals(List.of("d")), "not all of it was done");
    }

    private static void temporary(Stage stage) throws Exception {
        String path = stage.path("node");
        CuratorTempFramework temporary = CuratorFrameworkFactory.builder()
                .connectString(String.join(",", stage.program.hosts))
                .retryPolicy(new RetryForever(50))
                .buildTemp(1, TimeUnit.HOURS);
        stage.client(0).create().creatingParentsIfNeeded().forPath(path, Program.bytes("before"));
        temporary.inTransaction().check().forPath(path).and()
                .setData().forPath(path, Program.bytes("after")).and().commit();
        Program.require(Program.text(temporary.getData().forPath(path)).equals("after"), "it was not set");
        temporary.close();
    }

    private static void configuration(Stage stage) throws Exception {
        String config = Program.text(stage.client(0).getConfig().forEnsemble());
        for (String host : stage.program.hosts) {
            Program.require(config.contains(host), host + " is missing in the configuration:\n" + config);
        }
    }
}
