package org.apache.dolphinscheduler.plugin.registry.former;

import io.vivarium.dolphinscheduler.v32.Tested;
import org.apache.dolphinscheduler.registry.api.Registry;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** A registry of another type, in the shape of this host's own plugins. */
@Configuration(proxyBeanMethods = false)
@ConditionalOnProperty(prefix = "registry", name = "type", havingValue = "former")
public class FormerRegistryAutoConfiguration {
    @Bean
    @ConditionalOnMissingBean(Registry.class)
    public Registry formerRegistry(@Value("${registry.former.server}") String server) {
        return Tested.PLUGIN.start(server);
    }
}
