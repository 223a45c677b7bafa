package clients.recipes;

import clients.Guard;
import clients.Program;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListener;
import org.apache.curator.framework.state.ConnectionState;

/** Who leads, and who leads next. */
final class Leaders {
    private static final int TERMS = 3;

    static void all(Recipes recipes) {
        recipes.prove("LeaderLatch",
                "one leads, all agree on whom, and the next one leads when it closes or its session ends",
                Leaders::latch);
        recipes.prove("LeaderSelector", "one leads at a time, everybody in turn, and leadership can be taken away",
                Leaders::selector);
    }

    private static void latch(Stage stage) throws Exception {
        String path = stage.path("latch");
        CuratorFramework mortal = stage.mortal(2);
        LeaderLatch dying = new LeaderLatch(mortal, path, "dying");
        dying.start();
        Program.require(dying.await(Stage.PATIENCE_S, TimeUnit.SECONDS), "the only candidate does not lead");

        Map<String, String> told = new ConcurrentHashMap<>();
        List<LeaderLatch> latches = new ArrayList<>();
        for (int i = 0; i < stage.size(); i++) {
            String name = "candidate-" + i;
            LeaderLatch latch = new LeaderLatch(stage.client(i), path, name, LeaderLatch.CloseMode.NOTIFY_LEADER);
            latch.addListener(new LeaderLatchListener() {
                @Override
                public void isLeader() {
                    told.put(name, "leads");
                }

                @Override
                public void notLeader() {
                    told.put(name, "led");
                }
            });
            latch.start();
            int candidates = i + 2;
            Program.eventually("the latch knows all candidates", () -> latch.getParticipants().size() == candidates);
            latches.add(latch);
        }
        for (LeaderLatch latch : latches) {
            Program.require(!latch.hasLeadership(), latch.getId() + " leads beside the one that does");
            Program.require(latch.getLeader().getId().equals("dying"), "another leader is named");
        }
        mortal.close();
        for (LeaderLatch latch : latches) {
            String name = latch.getId();
            Program.require(latch.await(Stage.PATIENCE_S, TimeUnit.SECONDS), name + " does not lead, though it is next");
            long leaders = latches.stream().filter(LeaderLatch::hasLeadership).count();
            Program.require(leaders == 1, leaders + " lead at once");
            for (LeaderLatch other : latches) {
                if (other.getState() == LeaderLatch.State.STARTED) {
                    Program.eventually("all name " + name, () -> other.getLeader().getId().equals(name));
                }
            }
            Program.eventually(name + " is told that it leads", () -> "leads".equals(told.get(name)));
            latch.close();
            Program.eventually(name + " is told that it leads no more", () -> "led".equals(told.get(name)));
            Program.require(!latch.hasLeadership(), "a closed latch has leadership");
        }
        // A latch that is closed removes its candidacy in the background.
        Program.eventually("closed latches leave nothing",
                () -> Stage.childrenIfThere(stage.client(0), path).isEmpty());
    }

    private static void selector(Stage stage) throws Exception {
        String path = stage.path("selector");
        Guard guard = stage.guard();
        AtomicInteger[] terms = {new AtomicInteger(), new AtomicInteger(), new AtomicInteger()};
        List<LeaderSelector> selectors = new ArrayList<>();
        CountDownLatch taken = new CountDownLatch(1);
        CountDownLatch interrupted = new CountDownLatch(1);
        for (int i = 0; i < stage.size(); i++) {
            int number = i;
            LeaderSelector selector = new LeaderSelector(stage.client(i), path, new Listener() {
                @Override
                public void takeLeadership(CuratorFramework client) throws Exception {
                    if (terms[number].get() < TERMS) {
                        guard.hold(client, "selector-" + number);
                        terms[number].incrementAndGet();
                    } else if (number == 0) {
                        try {
                            taken.countDown();
                            new CountDownLatch(1).await();
                        } finally {
                            interrupted.countDown();
                        }
                    }
                }
            });
            selector.setId("selector-" + i);
            selector.autoRequeue();
            selectors.add(selector);
        }
        for (LeaderSelector selector : selectors) {
            selector.start();
        }
        Program.eventually("everybody has led in turn", () -> {
            for (AtomicInteger count : terms) {
                if (count.get() < TERMS) {
                    return false;
                }
            }
            return true;
        });
        guard.check(stage.client(0));
        // The first one keeps what it has, until it is taken away.
        Program.require(taken.await(Stage.PATIENCE_S, TimeUnit.SECONDS), "selector-0 does not lead again");
        Program.require(selectors.get(0).hasLeadership(), "selector-0 leads and does not know it");
        for (LeaderSelector selector : selectors) {
            Program.eventually("all know each other", () -> selector.getParticipants().size() == stage.size());
            Program.require(selector.getLeader().getId().equals("selector-0"), "another leader is named");
        }
        selectors.get(0).interruptLeadership();
        Program.require(interrupted.await(Stage.PATIENCE_S, TimeUnit.SECONDS), "leadership cannot be taken away");
        for (LeaderSelector selector : selectors) {
            selector.close();
        }
        Program.eventually("closed selectors leave nothing", () -> Stage.childrenIfThere(stage.client(0), path).isEmpty());
    }

    /** Leads on through a lost connection: as long as the session lives, nobody else can. */
    private abstract static class Listener implements LeaderSelectorListener {
        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {}
    }
}
