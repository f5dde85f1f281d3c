// Vendure on PostgreSQL: `node vendure.js PACKAGES SETTINGS.json [populate]`, on loopback only.
// SETTINGS.json: {"host", "port", "superadmin": {"identifier", "password"}, "database": {"host", "port", "username", …}}

const fs = require("node:fs");
const { createRequire } = require("node:module");

const [packages, file, verb] = process.argv.slice(2);
process.env.VENDURE_DISABLE_TELEMETRY = "true";
const required = createRequire(packages);
const core = required("@vendure/core");
const settings = JSON.parse(fs.readFileSync(file, "utf8"));

const config = {
  apiOptions: {
    hostname: settings.host,
    port: settings.port,
    adminApiPath: "admin-api",
    shopApiPath: "shop-api",
  },
  authOptions: {
    tokenMethod: "bearer",
    superadminCredentials: settings.superadmin,
    requireVerification: false,
  },
  dbConnectionOptions: {
    type: "postgres",
    ...settings.database,
    synchronize: verb === "populate",
    logging: false,
  },
  customFields: {
    // What a hub needs of its own: a key to find a customer by, and the consent that a shop asks for.
    Customer: [
      { name: "concordKey", type: "string", nullable: true, unique: true, public: false },
      { name: "newsletterConsent", type: "boolean", nullable: true },
    ],
  },
  paymentOptions: { paymentMethodHandlers: [core.dummyPaymentHandler] },
  logger: new core.DefaultLogger({ level: core.LogLevel.Info }),
};

const data = {
  defaultLanguage: core.LanguageCode.en,
  defaultZone: "Europe",
  taxRates: [{ name: "Standard", percentage: 21 }],
  countries: [
    { name: "Belgium", code: "BE", zone: "Europe" },
    { name: "Germany", code: "DE", zone: "Europe" },
    { name: "France", code: "FR", zone: "Europe" },
    { name: "Netherlands", code: "NL", zone: "Europe" },
  ],
  shippingMethods: [{ name: "Post", price: 500, taxRate: 21 }],
  paymentMethods: [],
  collections: [],
  roles: [],
};

(async () => {
  if (verb === "populate") {
    const { populate } = required("@vendure/core/cli");
    const app = await populate(() => core.bootstrap(config), data);
    await app.close();
    process.exit(0);
  }
  await core.bootstrap(config);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
