package clients;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.apache.dubbo.common.URL;
import org.apache.dubbo.registry.Registry;
import org.apache.dubbo.registry.RegistryFactory;
import org.apache.dubbo.rpc.model.ApplicationModel;
import org.apache.dubbo.rpc.model.FrameworkModel;

/** A program whose clients are Dubbo's registries, each of an application of its own. */
public class DubboProgram extends Program {
    static final String SERVICE = "com.example.Orders";
    private static final int RETRY_MS = 500;
    /** Dubbo gathers changes for five seconds unless it is told otherwise. */
    private static final int NOTIFICATION_DELAY_MS = 10;

    private final List<ApplicationModel> applications = Collections.synchronizedList(new ArrayList<>());
    private final int sessionMs;

    DubboProgram(String[] arguments, int sessionMs) {
        super(arguments);
        this.sessionMs = sessionMs;
    }

    /** A registry whose address begins with the given member, as an operator would write it. */
    Registry registry(int member) {
        List<String> order = new ArrayList<>(hosts);
        Collections.rotate(order, -(member % hosts.size()));
        String address = "zookeeper://" + order.get(0)
                + "?backup=" + String.join(",", order.subList(1, order.size()))
                + "&group=" + root.substring(1)
                + "&session=" + sessionMs
                + "&timeout=15000&retry.period=" + RETRY_MS
                + "&delay-notification=" + NOTIFICATION_DELAY_MS + "&file.cache=false";
        ApplicationModel application = FrameworkModel.defaultModel().newApplication();
        applications.add(application);
        URL url = URL.valueOf(address, application);
        return application.getExtensionLoader(RegistryFactory.class).getAdaptiveExtension().getRegistry(url);
    }

    /** Who offers the service on this port. What cannot be registered now is tried again. */
    static URL provider(int port) {
        return URL.valueOf("dubbo://10.1.1.1:" + port + "/" + SERVICE
                + "?application=orders&interface=" + SERVICE + "&side=provider&version=1.0.0&check=false");
    }

    /** Tells of the ports that the service is offered on, each time that the registry does. */
    void subscribe(Registry registry, Consumer<Set<Integer>> told) {
        URL consumer = URL.valueOf("consumer://10.1.1.2/" + SERVICE + "?application=shop&interface=" + SERVICE
                + "&side=consumer&version=1.0.0&check=false&category=providers,configurators,routers");
        registry.register(consumer.addParameter("category", "consumers"));
        registry.subscribe(consumer, urls -> {
            if (urls.stream().noneMatch(url -> "providers".equals(url.getCategory("providers")))) {
                return;
            }
            Set<Integer> ports = new TreeSet<>();
            for (URL url : urls) {
                if ("dubbo".equals(url.getProtocol())) {
                    ports.add(url.getPort());
                }
            }
            told.accept(ports);
        });
    }

    @Override
    protected void close() {
        applications.forEach(ApplicationModel::destroy);
    }
}
