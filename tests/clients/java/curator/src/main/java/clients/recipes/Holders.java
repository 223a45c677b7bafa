package clients.recipes;

import clients.CuratorProgram;
import clients.Guard;
import clients.Program;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListener;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.data.Stat;

/**
 * All recipes that hold something, side by side, while members are killed: nobody loses what it
 * holds, nobody gets what another one holds, and all who follow end where the others are.
 *
 * <p>What is reported as progress is the number of rounds of the slowest of them, so that none can
 * stand still unseen.
 */
final class Holders {
    private final CuratorProgram program;
    private final List<CuratorFramework> clients;
    private final Map<String, AtomicInteger> rounds = new ConcurrentHashMap<>();
    private final List<Program.Worker> workers = new ArrayList<>();
    private final List<Program.Worker> verdicts = new ArrayList<>();
    private int slowest;

    private Holders(CuratorProgram program) {
        this.program = program;
        clients = List.of(program.client(0), program.client(1), program.client(2));
    }

    public static void main(String[] arguments) throws Exception {
        CuratorProgram program = new CuratorProgram(arguments);
        Holders holders = new Holders(program);
        holders.lock("InterProcessMutex", InterProcessMutex::new);
        holders.lock("InterProcessSemaphoreMutex", InterProcessSemaphoreMutex::new);
        holders.lock("InterProcessMultiLock",
                (client, path) -> new InterProcessMultiLock(client, List.of(path + "-a", path + "-b")));
        holders.lock("WriteLock", (client, path) -> new InterProcessReadWriteLock(client, path).writeLock());
        holders.readers();
        holders.semaphore();
        holders.selector();
        holders.persistentNode();
        holders.group();
        holders.discovery();
        holders.caches();
        holders.counters();
        program.run(holders.workers);
        for (Program.Worker verdict : holders.verdicts) {
            verdict.work();
        }
        program.verdict(new TreeMap<>(holders.rounds));
    }

    private String path(String name) {
        return program.root + '/' + name;
    }

    /** One round of the recipe after the other until the program is told to finish. */
    private void repeat(String name, Program.Worker round) {
        AtomicInteger count = rounds.computeIfAbsent(name, unused -> new AtomicInteger());
        workers.add(() -> {
            while (!program.finishing()) {
                round.work();
                count.incrementAndGet();
                advance();
            }
        });
    }

    /** Reports a round once the slowest recipe has done it, too. */
    private synchronized void advance() {
        int least = rounds.values().stream().mapToInt(AtomicInteger::get).min().orElse(0);
        for (; slowest < least; slowest++) {
            program.acknowledged();
        }
    }

    private interface Factory {
        InterProcessLock of(CuratorFramework client, String path);
    }

    private static void acquire(InterProcessLock lock, String what) throws Exception {
        Program.require(lock.acquire(Stage.PATIENCE_S, TimeUnit.SECONDS), what + " is not given, though it is free");
    }

    private void lock(String name, Factory factory) throws Exception {
        Guard guard = new Guard(clients.get(0), path(name + "-guard"));
        for (int i = 0; i < clients.size(); i++) {
            CuratorFramework client = clients.get(i);
            InterProcessLock lock = factory.of(client, path(name));
            String holder = name + " of client " + i;
            repeat(name, () -> {
                acquire(lock, holder);
                guard.hold(client, holder);
                lock.release();
            });
        }
        verdicts.add(() -> guard.check(clients.get(0)));
    }

    /** A writer changes two znodes one after the other; no reader sees them differ. */
    private void readers() throws Exception {
        List<String> pair = List.of(path("left"), path("right"));
        for (String side : pair) {
            clients.get(0).create().creatingParentsIfNeeded().forPath(side, Program.bytes("none"));
        }
        InterProcessLock writing = new InterProcessReadWriteLock(clients.get(0), path("ReadLock")).writeLock();
        AtomicInteger number = new AtomicInteger();
        repeat("ReadLock", () -> {
            acquire(writing, "a write lock");
            byte[] data = Program.bytes(number.incrementAndGet());
            for (String side : pair) {
                clients.get(0).setData().forPath(side, data);
            }
            writing.release();
        });
        for (CuratorFramework client : clients.subList(1, 3)) {
            InterProcessLock reading = new InterProcessReadWriteLock(client, path("ReadLock")).readLock();
            repeat("ReadLock", () -> {
                acquire(reading, "a read lock");
                String left = Program.text(client.getData().forPath(pair.get(0)));
                String right = Program.text(client.getData().forPath(pair.get(1)));
                Program.require(left.equals(right), "under a read lock there are " + left + " and " + right);
                reading.release();
            });
        }
    }

    private void semaphore() {
        AtomicInteger inside = new AtomicInteger();
        for (CuratorFramework client : clients) {
            InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, path("semaphore"), 2);
            repeat("InterProcessSemaphoreV2", () -> {
                Lease lease = semaphore.acquire(Stage.PATIENCE_S, TimeUnit.SECONDS);
                Program.require(lease != null, "a lease is not given, though it is free");
                int holders = inside.incrementAndGet();
                Program.require(holders <= 2, holders + " hold one of two leases");
                client.checkExists().forPath(path("semaphore"));
                inside.decrementAndGet();
                semaphore.returnLease(lease);
            });
        }
    }

    private void selector() throws Exception {
        Guard guard = new Guard(clients.get(0), path("selector-guard"));
        AtomicInteger led = rounds.computeIfAbsent("LeaderSelector", unused -> new AtomicInteger());
        AtomicInteger leading = new AtomicInteger();
        List<LeaderSelector> selectors = new ArrayList<>();
        for (int i = 0; i < clients.size(); i++) {
            String name = "selector-" + i;
            selectors.add(new LeaderSelector(clients.get(i), path("selector"), new LeaderSelectorListener() {
                @Override
                public void takeLeadership(CuratorFramework client) throws Exception {
                    leading.incrementAndGet();
                    if (!program.finishing()) {
                        guard.hold(client, name);
                        led.incrementAndGet();
                        advance();
                    }
                    leading.decrementAndGet();
                }

                /** Leads on through a lost connection: as long as the session lives, nobody else can. */
                @Override
                public void stateChanged(CuratorFramework client, ConnectionState state) {}
            }));
            selectors.get(i).autoRequeue();
        }
        workers.add(() -> {
            selectors.forEach(LeaderSelector::start);
            while (!program.finishing()) {
                program.pause(1_000);
            }
        });
        verdicts.add(() -> {
            // A term that begins now does nothing, because the program is finishing.
            Program.eventually("no term is under way", () -> leading.get() == 0);
            guard.check(clients.get(0));
            selectors.forEach(LeaderSelector::close);
        });
    }

    private void persistentNode() throws Exception {
        String path = path("persistent");
        PersistentNode node =
                new PersistentNode(clients.get(0), CreateMode.EPHEMERAL, false, path, Program.bytes("here"));
        node.start();
        Program.require(node.waitForInitialCreate(Stage.PATIENCE_S, TimeUnit.SECONDS), "the znode is not made");
        CuratorFramework other = clients.get(1);
        Program.eventually("the znode is seen", () -> other.checkExists().forPath(path) != null);
        long made = other.checkExists().forPath(path).getCzxid();
        repeat("PersistentNode", () -> {
            Stat stat = other.checkExists().forPath(path);
            Program.require(stat != null, "a persistent node is gone while its session lives");
            Program.require(stat.getCzxid() == made, "a persistent node was made again while its session lives");
            program.pause(5);
        });
    }

    private void group() {
        List<GroupMember> members = new ArrayList<>();
        for (int i = 0; i < clients.size(); i++) {
            members.add(new GroupMember(clients.get(i), path("group"), "member-" + i, Program.bytes("0")));
            members.get(i).start();
        }
        AtomicInteger number = new AtomicInteger();
        repeat("GroupMember", () -> {
            String news = String.valueOf(number.incrementAndGet());
            members.forEach(member -> member.setThisData(Program.bytes(news)));
            for (GroupMember member : members) {
                Program.eventually("a member knows all three, and their data", () -> {
                    Map<String, byte[]> known = member.getCurrentMembers();
                    return known.size() == 3
                            && known.values().stream().allMatch(data -> Program.text(data).equals(news));
                });
            }
        });
        verdicts.add(() -> members.forEach(GroupMember::close));
    }

    private static ServiceInstance<String> instance(int number, String payload) throws Exception {
        return ServiceInstance.<String>builder()
                .name("service")
                .id("instance-" + number)
                .address("127.0.0.1")
                .port(9000 + number)
                .payload(payload)
                .build();
    }

    private void discovery() throws Exception {
        List<ServiceDiscovery<String>> discoveries = new ArrayList<>();
        List<ServiceCache<String>> caches = new ArrayList<>();
        for (int i = 0; i < clients.size(); i++) {
            ServiceDiscovery<String> discovery = ServiceDiscoveryBuilder.builder(String.class)
                    .client(clients.get(i))
                    .basePath(path("services"))
                    .build();
            discovery.start();
            discovery.registerService(instance(i, "0"));
            discoveries.add(discovery);
            caches.add(discovery.serviceCacheBuilder().name("service").build());
            caches.get(i).start();
        }
        AtomicInteger number = new AtomicInteger();
        repeat("ServiceDiscovery", () -> {
            String news = String.valueOf(number.incrementAndGet());
            for (int i = 0; i < discoveries.size(); i++) {
                discoveries.get(i).updateService(instance(i, news));
            }
            for (ServiceCache<String> cache : caches) {
                Program.eventually("a cache has all three instances as they are now", () -> {
                    List<String> payloads =
                            cache.getInstances().stream().map(ServiceInstance::getPayload).collect(Collectors.toList());
                    return payloads.equals(Collections.nCopies(3, news));
                });
            }
        });
        verdicts.add(() -> {
            for (ServiceDiscovery<String> discovery : discoveries) {
                discovery.close();
            }
        });
    }

    @SuppressWarnings("deprecation") // CuratorCache has a program of its own.
    private void caches() throws Exception {
        CuratorFramework writer = clients.get(0);
        String parent = path("cached");
        String child = parent + "/child";
        writer.create().creatingParentsIfNeeded().forPath(child, Program.bytes("0"));
        CuratorFramework reader = clients.get(1);
        NodeCache node = new NodeCache(reader, child);
        node.start();
        PathChildrenCache children = new PathChildrenCache(clients.get(2), parent, true);
        children.start();
        TreeCache tree = new TreeCache(clients.get(0), parent);
        tree.start();
        AtomicInteger number = new AtomicInteger();
        repeat("Caches", () -> {
            byte[] news = Program.bytes(number.incrementAndGet());
            writer.setData().forPath(child, news);
            Program.eventually("the NodeCache follows",
                    () -> node.getCurrentData() != null && Arrays.equals(node.getCurrentData().getData(), news));
            Program.eventually("the PathChildrenCache follows", () -> children.getCurrentData(child) != null
                    && Arrays.equals(children.getCurrentData(child).getData(), news));
            Program.eventually("the TreeCache follows", () -> tree.getCurrentData(child) != null
                    && Arrays.equals(tree.getCurrentData(child).getData(), news));
        });
        verdicts.add(() -> {
            node.close();
            children.close();
            tree.close();
        });
    }

    private void counters() throws Exception {
        AtomicInteger acknowledged = new AtomicInteger();
        for (CuratorFramework client : clients) {
            DistributedAtomicLong counter =
                    new DistributedAtomicLong(client, path("counter"), new RetryNTimes(1_000, 1));
            repeat("DistributedAtomicLong", () -> {
                AtomicValue<Long> result = counter.increment();
                Program.require(result.succeeded(), "an increment gave up");
                acknowledged.incrementAndGet();
            });
        }
        verdicts.add(() -> {
            CuratorFramework client = clients.get(0);
            client.sync().forPath("/");
            long value = new DistributedAtomicLong(client, path("counter"), new RetryNTimes(1_000, 1)).get().postValue();
            // An interrupted step may have been done twice, once for each client that was interrupted.
            Program.require(value >= acknowledged.get(), acknowledged + " steps were acknowledged, counted " + value);
        });

        SharedCount count = new SharedCount(clients.get(0), path("shared"), 0);
        SharedCount observer = new SharedCount(clients.get(1), path("shared"), 0);
        count.start();
        observer.start();
        AtomicInteger number = new AtomicInteger();
        repeat("SharedCount", () -> {
            count.setCount(number.incrementAndGet());
            Program.eventually("the observer sees the count", () -> observer.getCount() == number.get());
        });
        verdicts.add(() -> {
            count.close();
            observer.close();
        });
    }
}
