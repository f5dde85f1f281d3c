<?php
// The back office once more, on PHP's SoapServer behind `php -S`: envelopes, types and faults are PHP's own.
// Settings: -d office.wsdl=… -d office.store=… -d office.login=… -d office.password=…
// Customers, interactions and orders live in one JSON file. A clerk works over /clerk, in JSON.
declare(strict_types=1);
const WSSE = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd';
const KINDS = [
    'Customer' => ['customers', 'customer', 'number', 'numbers', ['reference', 'name', 'email', 'language', 'vatNumber', 'birthDate',
        'creditLimit', 'newsletter', 'active', 'phones', 'addresses']],
    'Interaction' => ['interactions', 'interaction', 'id', 'ids', ['reference', 'customerNumber', 'channel', 'direction', 'kind',
        'subject', 'employee', 'opened', 'firstAnswered', 'closed']],
    'Order' => ['orders', 'order', 'id', 'ids', ['reference', 'customerNumber', 'status', 'ordered', 'currency', 'prices', 'lines',
        'total', 'promised', 'delivery', 'tracking', 'delivered', 'returns', 'cancellation']],
];
const NOTHING = ['numbers' => 0, 'customers' => [], 'interactions' => [], 'orders' => []];

function office(callable $work)
{
    $lock = fopen(get_cfg_var('office.store') . '.lock', 'c');
    flock($lock, LOCK_EX);
    $file = get_cfg_var('office.store');
    $data = is_file($file) ? json_decode(file_get_contents($file), true) : NOTHING;
    $answer = $work($data);
    file_put_contents("$file.new", json_encode($data, JSON_THROW_ON_ERROR));
    rename("$file.new", $file);
    return $answer;
}

function refuse(string $name, string $text, array $detail = []): never
{
    throw new SoapFault("Client.$name", $text, null, $detail ? [$name => $detail] : null);
}

// The records of one kind, while the office is open for one request.
class Kind
{
    public readonly string $many, $one, $key, $keys;
    private array $fields, $all;

    public function __construct(private array &$data, private string $what)
    {
        [$this->many, $this->one, $this->key, $this->keys, $this->fields] = KINDS[$what];
        $this->all = &$data[$this->many];
    }

    public function page(array $in): array
    {
        $since = strtotime($in['changedSince'] ?? '1970-01-01');
        $after = fn($record) => $record[$this->key] > $in['after'] && strtotime($record['changed']) >= $since;
        return array_slice(array_filter(array_values($this->all), $after), 0, $in['limit']);
    }

    public function some(array $keys): array
    {
        return array_values(array_intersect_key($this->all, array_flip($keys)));
    }

    public function find(array $in): array
    {
        [$by, $value] = isset($in['reference']) ? ['reference', $in['reference']] : ['email', $in['email'] ?? '-'];
        return array_values(array_filter($this->all, fn($record) => strcasecmp($record[$by] ?? '', $value) === 0));
    }

    public function create(array $sent): array
    {
        $this->check($sent, null);
        $key = ++$this->data['numbers'];
        $this->all[$key] = [$this->key => $key];
        if ($this->what === 'Customer') {
            $this->all[$key] += ['active' => true, 'phones' => [], 'addresses' => []];
        }
        return $this->put($key, $sent);
    }

    public function update(int $key, ?int $version, array $sent): array
    {
        $this->held($key, $version);
        $this->check($sent, $key);
        return $this->put($key, $sent);
    }

    public function remove(int $key, ?int $version): array
    {
        $this->held($key, $version);
        unset($this->all[$key]);
        return [];
    }

    public function restamp(int $key, array $fields): array
    {
        return $this->all[$key] = $fields + $this->all[$key];
    }

    private function held(int $key, ?int $version): void
    {
        if (!isset($this->all[$key])) {
            refuse('Unknown', "no such $this->one");
        }
        $held = $this->all[$key]['version'];
        if ($version !== null && $version !== $held) {
            refuse('Stale', 'changed meanwhile', ['version' => $held]);
        }
    }

    private function check(array $sent, ?int $key): void
    {
        if ($this->what === 'Customer' && ($key === null || array_key_exists('name', $sent)) && empty($sent['name'])) {
            refuse('Invalid', 'a customer has a name', ['field' => 'name']);
        }
        if (!empty($sent['customerNumber']) && !isset($this->data['customers'][$sent['customerNumber']])) {
            refuse('Invalid', 'no such customer', ['field' => 'customerNumber']);
        }
        foreach ($this->all as $other => $record) {
            if ($other !== $key && !empty($sent['reference']) && ($record['reference'] ?? null) === $sent['reference']) {
                refuse('Duplicate', 'this reference is taken', ['field' => 'reference']);
            }
        }
    }

    private function put(int $key, array $sent): array
    {
        $record = array_intersect_key($sent, array_flip($this->fields)) + $this->all[$key];
        $record['version'] = ($record['version'] ?? 0) + 1;
        $record['changed'] = gmdate('Y-m-d\TH:i:s') . substr(sprintf('%.3f', fmod(microtime(true), 1)), 1) . 'Z';
        return $this->all[$key] = $record;
    }
}

class BackOffice
{
    private bool $known = false;

    public function Security(object $header): void
    {
        $token = $header->UsernameToken ?? new stdClass();
        $expected = get_cfg_var('office.password');
        if (isset($token->Nonce)) {
            $expected = base64_encode(sha1(base64_decode($token->Nonce) . $token->Created . $expected, true));
        }
        $this->known = ($token->Username ?? '') === get_cfg_var('office.login') && hash_equals($expected, $token->Password ?? '');
    }

    public function __call(string $name, array $given): array
    {
        if (!$this->known) {
            throw new SoapFault([WSSE, 'FailedAuthentication'], 'the security token cannot be authenticated');
        }
        $in = json_decode(json_encode($given[0] ?? new stdClass()), true);
        if (!preg_match('/^(List|Get|Find|Create|Update|Delete)(' . implode('|', array_keys(KINDS)) . ')s?$/', $name, $asked)) {
            refuse('Unknown', 'no such operation');
        }
        return office(function (array &$data) use ($asked, $in): array {
            $kind = new Kind($data, $asked[2]);
            $key = $in[$kind->key] ?? 0;
            return match ($asked[1]) {
                'List' => [$kind->many => [$kind->one => $kind->page($in)]],
                'Get' => [$kind->many => [$kind->one => $kind->some($in[$kind->keys][$kind->key] ?? [])]],
                'Find' => [$kind->many => [$kind->one => $kind->find($in)]],
                'Create' => [$kind->one => $kind->create($in[$kind->one])],
                'Update' => [$kind->one => $kind->update($key, $in['version'] ?? null, $in[$kind->one])],
                'Delete' => $kind->remove($key, $in['version'] ?? null),
            };
        });
    }
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/clerk') {
    try {
        $asked = json_decode(file_get_contents('php://input') ?: '{"verb": "all"}', true);
        echo json_encode(office(function (array &$data) use ($asked): array {
            if ($asked['verb'] === 'reset') {
                $data = NOTHING;
                return [];
            }
            if ($asked['verb'] === 'all') {
                return array_map(fn($records) => (object) $records, array_diff_key($data, ['numbers' => 0]));
            }
            $kind = new Kind($data, ucfirst(rtrim($asked['what'], 's')));
            $key = $asked['key'] ?? 0;
            $fields = $asked['fields'] ?? [];
            return match ($asked['verb']) {
                'add' => $kind->create($fields),
                'edit' => $kind->update($key, null, $fields),
                'restamp' => $kind->restamp($key, $fields),
                'remove' => $kind->remove($key, null),
            };
        }));
    } catch (SoapFault $refused) {
        http_response_code(400);
    }
} elseif (isset($_GET['wsdl'])) {
    header('Content-Type: text/xml');
    readfile(get_cfg_var('office.wsdl'));
} elseif ($path === '/backoffice') {
    $server = new SoapServer(get_cfg_var('office.wsdl'), ['features' => SOAP_SINGLE_ELEMENT_ARRAYS, 'cache_wsdl' => WSDL_CACHE_NONE]);
    $server->setObject(new BackOffice());
    $server->handle();
} else {
    http_response_code(404);
}
