package clients;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.state.ConnectionState;

/**
 * LeaderLatch: one leader at a time; when it closes its latch, the next one leads.
 *
 * <p>A latch gives up leadership when its connection is suspended, without waiting for its owner to
 * notice; such an owner is found out by the version of what it writes.
 */
final class Latch {
    /** One candidate; {@code term} changes whenever it may have lost leadership. */
    private static final class Candidate {
        final AtomicLong term = new AtomicLong();
        volatile LeaderLatch latch;

        boolean leads() {
            LeaderLatch now = latch;
            return now != null && now.hasLeadership();
        }
    }

    public static void main(String[] arguments) throws Exception {
        CuratorProgram program = new CuratorProgram(arguments);
        String path = program.root + "/latch";
        CuratorFramework first = program.client(0);
        Guard guard = new Guard(first, program.root + "/guard");
        List<Candidate> candidates = new ArrayList<>();
        List<Program.Worker> workers = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            CuratorFramework client = i == 0 ? first : program.client(i);
            Candidate candidate = new Candidate();
            candidates.add(candidate);
            client.getConnectionStateListenable().addListener((same, state) -> {
                if (state == ConnectionState.SUSPENDED) {
                    candidate.term.incrementAndGet();
                }
            });
            String name = "candidate-" + i;
            workers.add(() -> {
                while (!program.finishing()) {
                    LeaderLatch latch = new LeaderLatch(client, path, name);
                    candidate.term.incrementAndGet();
                    candidate.latch = latch;
                    latch.start();
                    Program.require(latch.await(90, TimeUnit.SECONDS), name + " waited 90 s to lead");
                    long term = candidate.term.get();
                    boolean led = latch.hasLeadership();
                    boolean advanced = guard.advance(client, name);
                    Program.require(
                            advanced || !led || candidate.term.get() != term, name + " was overtaken while it led");
                    latch.close();
                    candidate.latch = null;
                    program.acknowledged();
                }
            });
        }
        workers.add(() -> watch(program, candidates));
        program.run(workers);
        guard.check(first);
        first.sync().forPath(path);
        List<String> left = first.getChildren().forPath(path);
        Program.require(left.isEmpty(), "candidacies of closed latches are still there: " + left);
        program.verdict(Map.of("terms", guard.steps.get()));
    }

    /** Two candidates lead at once if both do while the first of them has not changed. */
    private static void watch(Program program, List<Candidate> candidates) throws InterruptedException {
        while (!program.finishing()) {
            for (Candidate one : candidates) {
                long term = one.term.get();
                if (!one.leads()) {
                    continue;
                }
                long others = candidates.stream().filter(other -> other != one && other.leads()).count();
                boolean still = one.leads() && one.term.get() == term;
                Program.require(others == 0 || !still, "two latches have leadership");
            }
            program.pause(1);
        }
    }
}
