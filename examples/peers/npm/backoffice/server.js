// A legacy back office over SOAP, on the npm package `soap`: its envelopes, types and faults are the package's own.
//   server.js WSDL STORE PORT LOGIN PASSWORD
// Customers, interactions and orders live in STORE (one JSON file). A clerk works over /clerk, in JSON: the door that has no hub behind it.
'use strict';
const crypto = require('crypto'), fs = require('fs'), http = require('http'), soap = require('soap');
const [wsdl, store, port, login, password] = process.argv.slice(2);

const empty = () => ({ numbers: 0, customers: {}, interactions: {}, orders: {} });
let data = empty();
try { Object.assign(data, JSON.parse(fs.readFileSync(store, 'utf8'))); } catch (error) { if (error.code !== 'ENOENT') throw error; }
const save = () => { fs.writeFileSync(store + '.new', JSON.stringify(data)); fs.renameSync(store + '.new', store); };

const CUSTOMER = ['number', 'reference', 'name', 'email', 'language', 'vatNumber', 'birthDate', 'creditLimit', 'newsletter', 'active',
  'phones', 'addresses', 'version', 'changed'];
const INTERACTION = ['id', 'reference', 'customerNumber', 'channel', 'direction', 'kind', 'subject', 'employee', 'opened',
  'firstAnswered', 'closed', 'version', 'changed'];
const ORDER = ['id', 'reference', 'customerNumber', 'status', 'ordered', 'currency', 'prices', 'lines', 'total', 'promised', 'delivery',
  'tracking', 'delivered', 'returns', 'cancellation', 'version', 'changed'];
const PART = { phones: 'phone', addresses: 'address', lines: 'line', returns: 'item' };
const DAYS = new Set(['birthDate', 'promised']);
const OURS = new Set(['number', 'id', 'version', 'changed']);  // nobody sets these from outside

const refuse = (name, text, detail) => {
  throw { Fault: { faultcode: 'soap:Client.' + name, faultstring: text, detail: detail || {}, statusCode: 500 } };
};
const list = value => value === undefined || value === null || value === '' ? [] : [].concat(value);
const moment = value => new Date(value).toISOString();

// Envelopes hold a Date for a date, and one object for a list of one.
function plain(name, value) {
  if (value instanceof Date) return DAYS.has(name) ? value.toISOString().slice(0, 10) : value.toISOString();
  if (PART[name]) return { [PART[name]]: list(value && value[PART[name]]).map(parts) };
  return value;
}
const parts = row => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(name, value)]));

function put(record, names, sent) {
  for (const name of names) if (!OURS.has(name) && name in sent) record[name] = plain(name, sent[name]);
  record.version = (record.version || 0) + 1;
  record.changed = moment(Date.now());
}

function shown(record, names) {
  return Object.fromEntries(names.filter(name => record[name] !== undefined).map(name => [name, record[name]]));
}

function kind(all, names, key, one, many, check) {
  const rows = records => ({ [many]: { [one]: records.map(record => shown(record, names)) } });
  const held = asked => all()[asked] || refuse('Unknown', 'no such ' + one);
  const guarded = args => {
    const record = held(args[key]);
    if (args.version !== undefined && args.version !== record.version) refuse('Stale', 'changed meanwhile', { Stale: { version: record.version } });
    return record;
  };
  return {
    page({ changedSince, after, limit }) {
      const since = changedSince ? +new Date(changedSince) : 0;
      return rows(Object.values(all()).filter(r => r[key] > after && +new Date(r.changed) >= since)
        .sort((a, b) => a[key] - b[key]).slice(0, limit));
    },
    some(keys) { return rows(list(keys).map(asked => all()[asked]).filter(Boolean)); },
    find(args) {
      const by = Object.keys(args).find(name => args[name]);
      const same = record => String(record[by] || '').toLowerCase() === String(args[by]).toLowerCase();
      return rows(by ? Object.values(all()).filter(same) : []);
    },
    create(sent) {
      check(sent, null);
      const record = { [key]: ++data.numbers };
      if (one === 'customer') Object.assign(record, { active: true, phones: { phone: [] }, addresses: { address: [] } });
      put(record, names, sent);
      all()[record[key]] = record;
      save();
      return { [one]: shown(record, names) };
    },
    update(args) {
      const record = guarded(args);
      check(args[one], record);
      put(record, names, args[one]);
      save();
      return { [one]: shown(record, names) };
    },
    remove(args) { delete all()[guarded(args)[key]]; save(); return {}; },
  };
}

const customers = kind(() => data.customers, CUSTOMER, 'number', 'customer', 'customers', (sent, record) => {
  if ('name' in sent ? !sent.name : !record) refuse('Invalid', 'a customer has a name', { Invalid: { field: 'name' } });
  const twin = sent.reference && Object.values(data.customers).find(c => c !== record && c.reference === sent.reference);
  if (twin) refuse('Duplicate', 'this reference is taken', { Duplicate: { field: 'reference', number: twin.number } });
});
const about = all => (sent, record) => {
  if (sent.customerNumber && !data.customers[sent.customerNumber]) refuse('Invalid', 'no such customer', { Invalid: { field: 'customerNumber' } });
  const twin = sent.reference && Object.values(all()).find(other => other !== record && other.reference === sent.reference);
  if (twin) refuse('Duplicate', 'this reference is taken', { Duplicate: { field: 'reference', id: twin.id } });
};
const interactions = kind(() => data.interactions, INTERACTION, 'id', 'interaction', 'interactions', about(() => data.interactions));
const orders = kind(() => data.orders, ORDER, 'id', 'order', 'orders', about(() => data.orders));

const BackOfficePort = {
  ListCustomers: args => customers.page(args),
  GetCustomers: args => customers.some(args.numbers && args.numbers.number),
  FindCustomers: args => customers.find(args || {}),
  CreateCustomer: args => customers.create(args.customer),
  UpdateCustomer: args => customers.update(args),
  DeleteCustomer: args => customers.remove(args),
  ListInteractions: args => interactions.page(args),
  GetInteractions: args => interactions.some(args.ids && args.ids.id),
  FindInteractions: args => interactions.find(args || {}),
  CreateInteraction: args => interactions.create(args.interaction),
  UpdateInteraction: args => interactions.update(args),
  ListOrders: args => orders.page(args),
  GetOrders: args => orders.some(args.ids && args.ids.id),
  FindOrders: args => orders.find(args || {}),
  CreateOrder: args => orders.create(args.order),
  UpdateOrder: args => orders.update(args),
};

const DOOR = { customers: [customers, 'number', 'customer'], interactions: [interactions, 'id', 'interaction'], orders: [orders, 'id', 'order'] };
function clerk(request, response) {
  if (request.url !== '/clerk') { response.statusCode = 404; return response.end(); }
  let text = '';
  request.on('data', chunk => { text += chunk; }).on('end', () => {
    try {
      const { verb, what, key, fields } = JSON.parse(text || '{"verb": "all"}');
      const [door, id, one] = DOOR[what] || [];
      let answer = data;
      if (verb === 'add') answer = door.create(fields)[one];
      if (verb === 'edit') answer = door.update({ [id]: key, [one]: fields })[one];
      if (verb === 'reset') { data = empty(); save(); answer = data; }
      if (verb === 'restamp') { data[what][key].changed = fields.changed; answer = data[what][key]; save(); }
      if (verb === 'remove') answer = door.remove({ [id]: key });
      response.end(JSON.stringify(answer));
    } catch (error) {
      response.statusCode = error.Fault ? 400 : 500;
      response.end(JSON.stringify({ message: error.Fault ? error.Fault.faultstring : String(error) }));
    }
  });
}

// A UsernameToken, its password as text or as a digest of nonce, time and password.
function authenticate(security) {
  const token = (security && security.UsernameToken) || {};
  const text = value => value && typeof value === 'object' ? value.$value : value;
  let expected = password;
  if (token.Nonce) {
    const created = token.Created instanceof Date ? token.Created.toISOString() : text(token.Created);
    expected = crypto.createHash('sha1').update(Buffer.from(text(token.Nonce), 'base64')).update(created + password).digest('base64');
  }
  return text(token.Username) === login && text(token.Password) === expected;
}

const server = http.createServer(clerk);
server.keepAliveTimeout = 60000;
server.listen(+port, '127.0.0.1', () => {
  const service = soap.listen(server, {
    path: '/backoffice',
    services: { BackOffice: { BackOfficePort } },
    xml: fs.readFileSync(wsdl, 'utf8'),
    handleNilAsNull: true,
    // It writes xsi:nil and declares the prefix nowhere: strict readers refuse that.
    overrideRootElement: { namespace: 't', xmlnsAttributes: [
      { name: 'xmlns:t', value: 'urn:backoffice' },
      { name: 'xmlns:xsi', value: 'http://www.w3.org/2001/XMLSchema-instance' },
    ] },
    suppressStack: true,
  });
  service.authenticate = authenticate;
});
