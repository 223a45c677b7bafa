package clients.recipes;

import clients.Program;
import clients.Sessions;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.x.discovery.DownInstancePolicy;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.curator.x.discovery.details.ServiceCacheListener;
import org.apache.curator.x.discovery.strategies.RoundRobinStrategy;

/** curator-x-discovery: who offers a service, and what everybody else knows of them. */
final class Discovery {
    private static final String SERVICE = "billing";

    static void all(Recipes recipes) {
        recipes.prove("ServiceDiscovery",
                "registered, queried, updated and unregistered; back again after a session has ended",
                Discovery::discovery);
        recipes.prove("ServiceCache", "ends at the instances that are registered, and tells of each change",
                Discovery::cache);
        recipes.prove("ServiceProvider", "gives every instance in turn, and none that was noted as down",
                Discovery::provider);
    }

    private static ServiceInstance<String> instance(int number, String payload) throws Exception {
        return ServiceInstance.<String>builder()
                .name(SERVICE)
                .id("instance-" + number)
                .address("127.0.0.1")
                .port(9000 + number)
                .payload(payload)
                .build();
    }

    private static ServiceDiscovery<String> start(Stage stage, CuratorFramework client) throws Exception {
        ServiceDiscovery<String> discovery = ServiceDiscoveryBuilder.builder(String.class)
                .client(client)
                .basePath(stage.path("services"))
                .build();
        discovery.start();
        return discovery;
    }

    /** One of each client, each with an instance registered. */
    private static List<ServiceDiscovery<String>> three(Stage stage) throws Exception {
        List<ServiceDiscovery<String>> discoveries = new ArrayList<>();
        for (int i = 0; i < stage.size(); i++) {
            discoveries.add(start(stage, stage.client(i)));
            discoveries.get(i).registerService(instance(i, "payload " + i));
        }
        return discoveries;
    }

    private static Set<String> ids(Iterable<ServiceInstance<String>> instances) {
        Set<String> ids = new HashSet<>();
        instances.forEach(instance -> ids.add(instance.getId()));
        return ids;
    }

    private static void discovery(Stage stage) throws Exception {
        List<ServiceDiscovery<String>> discoveries = three(stage);
        Set<String> all = Set.of("instance-0", "instance-1", "instance-2");
        for (int i = 0; i < stage.size(); i++) {
            ServiceDiscovery<String> discovery = discoveries.get(i);
            stage.synced(i);
            Program.require(List.copyOf(discovery.queryForNames()).equals(List.of(SERVICE)), "other services are named");
            Set<String> found = ids(discovery.queryForInstances(SERVICE));
            Program.require(found.equals(all), "expected " + all + ", found " + found);
            ServiceInstance<String> one = discovery.queryForInstance(SERVICE, "instance-1");
            Program.require(one.getPort() == 9001 && one.getPayload().equals("payload 1"), "found " + one);
            Program.require(discovery.queryForInstance(SERVICE, "absent") == null, "an absent instance is found");
        }
        discoveries.get(1).updateService(instance(1, "news"));
        Program.eventually("the update is seen",
                () -> discoveries.get(0).queryForInstance(SERVICE, "instance-1").getPayload().equals("news"));
        discoveries.get(2).unregisterService(instance(2, ""));
        Program.eventually("an unregistered instance is not found",
                () -> ids(discoveries.get(0).queryForInstances(SERVICE)).equals(Set.of("instance-0", "instance-1")));

        CuratorFramework mortal = stage.mortal(2);
        ServiceDiscovery<String> recovering = start(stage, mortal);
        recovering.registerService(instance(3, "recovers"));
        String path = stage.path("services") + '/' + SERVICE + "/instance-3";
        long before = mortal.checkExists().forPath(path).getCzxid();
        Sessions.end(stage.program, mortal);
        Program.eventually("an instance whose session has ended is registered again", () -> {
            var stat = stage.client(0).checkExists().forPath(path);
            return stat != null && stat.getCzxid() > before;
        });
        mortal.close();
        Program.eventually("an instance is gone with its client",
                () -> discoveries.get(0).queryForInstance(SERVICE, "instance-3") == null);
        for (ServiceDiscovery<String> discovery : discoveries) {
            discovery.close();
        }
        stage.requireNoChildren(stage.path("services") + '/' + SERVICE, "closed discoveries");
    }

    private static void cache(Stage stage) throws Exception {
        List<ServiceDiscovery<String>> discoveries = three(stage);
        AtomicInteger told = new AtomicInteger();
        ServiceCache<String> cache = discoveries.get(0).serviceCacheBuilder().name(SERVICE).build();
        cache.addListener(new ServiceCacheListener() {
            @Override
            public void cacheChanged() {
                told.incrementAndGet();
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {}
        });
        cache.start();
        awaitPayloads(cache, "payload 0", "payload 1", "payload 2");
        discoveries.get(1).updateService(instance(1, "news"));
        awaitPayloads(cache, "payload 0", "news", "payload 2");
        discoveries.get(2).unregisterService(instance(2, ""));
        awaitPayloads(cache, "payload 0", "news");
        Program.eventually("the listener is told of both changes", () -> told.get() >= 2);
        cache.close();
        for (ServiceDiscovery<String> discovery : discoveries) {
            discovery.close();
        }
    }

    private static void awaitPayloads(ServiceCache<String> cache, String... expected) throws Exception {
        Program.eventually("the cache has " + List.of(expected), () -> cache.getInstances().stream()
                .collect(Collectors.toMap(ServiceInstance::getId, ServiceInstance::getPayload, (a, b) -> a, TreeMap::new))
                .values()
                .stream()
                .toList()
                .equals(List.of(expected)));
    }

    private static void provider(Stage stage) throws Exception {
        List<ServiceDiscovery<String>> discoveries = three(stage);
        ServiceProvider<String> provider = discoveries.get(0).serviceProviderBuilder()
                .serviceName(SERVICE)
                .providerStrategy(new RoundRobinStrategy<>())
                .downInstancePolicy(new DownInstancePolicy(1, TimeUnit.HOURS, 1))
                .build();
        provider.start();
        Program.eventually("the provider knows all", () -> provider.getAllInstances().size() == stage.size());
        List<ServiceInstance<String>> given = new ArrayList<>();
        for (int i = 0; i < stage.size(); i++) {
            given.add(provider.getInstance());
        }
        Program.require(ids(given).size() == stage.size(), "not every instance in turn: " + ids(given));
        provider.noteError(given.get(0));
        Set<String> after = new HashSet<>();
        for (int i = 0; i < 2 * stage.size(); i++) {
            after.add(provider.getInstance().getId());
        }
        Program.require(!after.contains(given.get(0).getId()) && after.size() == 2, "with one noted as down: " + after);
        provider.close();
        for (ServiceDiscovery<String> discovery : discoveries) {
            discovery.close();
        }
    }
}
