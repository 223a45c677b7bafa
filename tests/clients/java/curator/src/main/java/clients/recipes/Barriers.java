package clients.recipes;

import clients.Program;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;

/** Nobody passes before the time has come. */
final class Barriers {
    static void all(Recipes recipes) {
        recipes.prove("DistributedBarrier", "holds everybody back until it is removed", Barriers::barrier);
        recipes.prove("DistributedDoubleBarrier", "all come in together, and all leave together",
                Barriers::doubleBarrier);
    }

    private static void barrier(Stage stage) throws Exception {
        String path = stage.path("barrier");
        DistributedBarrier owner = new DistributedBarrier(stage.client(0), path);
        owner.setBarrier();
        CountDownLatch held = new CountDownLatch(stage.size());
        AtomicInteger removed = new AtomicInteger();
        stage.sideBySide(
                () -> stage.everyClient((number, client) -> {
                    stage.synced(number);
                    DistributedBarrier barrier = new DistributedBarrier(client, path);
                    Program.require(!barrier.waitOnBarrier(1, TimeUnit.MILLISECONDS), "somebody passes a set barrier");
                    held.countDown();
                    boolean passed = barrier.waitOnBarrier(Stage.PATIENCE_S, TimeUnit.SECONDS);
                    Program.require(passed, "client " + number + " is held back by a barrier that was removed");
                    Program.require(removed.get() == 1, "client " + number + " passes before the removal");
                }),
                () -> {
                    held.await();
                    removed.set(1);
                    owner.removeBarrier();
                });
        new DistributedBarrier(stage.client(0), path).waitOnBarrier();
    }

    private static void doubleBarrier(Stage stage) throws Exception {
        int size = stage.size();
        DistributedDoubleBarrier alone = new DistributedDoubleBarrier(stage.client(0), stage.path("alone"), size);
        Program.require(!alone.enter(1, TimeUnit.MILLISECONDS), "one comes in where three are awaited");
        for (int round = 0; round < 3; round++) {
            String path = stage.path("barrier-" + round);
            AtomicInteger arrived = new AtomicInteger();
            AtomicInteger leaving = new AtomicInteger();
            stage.everyClient((number, client) -> {
                DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(client, path, size);
                arrived.incrementAndGet();
                boolean entered = barrier.enter(Stage.PATIENCE_S, TimeUnit.SECONDS);
                Program.require(entered, "client " + number + " does not come in, though all are there");
                Program.require(arrived.get() == size, "one came in when only " + arrived + " were there");
                leaving.incrementAndGet();
                boolean left = barrier.leave(Stage.PATIENCE_S, TimeUnit.SECONDS);
                Program.require(left, "client " + number + " does not get out, though all leave");
                Program.require(leaving.get() == size, "one got out when only " + leaving + " were leaving");
            });
        }
    }
}
