<?php
// The back office once more, on PHP's SoapServer behind `php -S`: envelopes, types and faults are PHP's own.
// Settings: -d office.wsdl=… -d office.store=… -d office.login=… -d office.password=…
// Customers live in one JSON file. A clerk works over /clerk, in JSON.
declare(strict_types=1);
const WSSE = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd';
const FIELDS = ['reference', 'name', 'email', 'language', 'vatNumber', 'birthDate', 'creditLimit', 'newsletter', 'active', 'phones',
    'addresses'];

function office(callable $work)
{
    $lock = fopen(get_cfg_var('office.store') . '.lock', 'c');
    flock($lock, LOCK_EX);
    $file = get_cfg_var('office.store');
    $data = is_file($file) ? json_decode(file_get_contents($file), true) : ['numbers' => 0, 'customers' => []];
    $answer = $work($data);
    file_put_contents("$file.new", json_encode($data, JSON_THROW_ON_ERROR));
    rename("$file.new", $file);
    return $answer;
}

function refuse(string $name, string $text, array $detail = []): never
{
    throw new SoapFault("Client.$name", $text, null, $detail ? [$name => $detail] : null);
}

function put(array &$record, array $sent): void
{
    foreach (FIELDS as $name) {
        if (array_key_exists($name, $sent)) {
            $record[$name] = $sent[$name];
        }
    }
    $record['version'] = ($record['version'] ?? 0) + 1;
    $record['changed'] = gmdate('Y-m-d\TH:i:s') . substr(sprintf('%.3f', fmod(microtime(true), 1)), 1) . 'Z';
}

function &held(array &$data, int $number, ?int $version = null): array
{
    if (!isset($data['customers'][$number])) {
        refuse('Unknown', 'no such customer');
    }
    if ($version !== null && $version !== $data['customers'][$number]['version']) {
        refuse('Stale', 'changed meanwhile', ['version' => $data['customers'][$number]['version']]);
    }
    return $data['customers'][$number];
}

function create(array &$data, array $sent): array
{
    if (empty($sent['name'])) {
        refuse('Invalid', 'a customer has a name', ['field' => 'name']);
    }
    foreach ($data['customers'] as $other) {
        if (!empty($sent['reference']) && ($other['reference'] ?? null) === $sent['reference']) {
            refuse('Duplicate', 'this reference is taken', ['field' => 'reference']);
        }
    }
    $number = ++$data['numbers'];
    $data['customers'][$number] = ['number' => $number, 'active' => true, 'phones' => [], 'addresses' => []];
    put($data['customers'][$number], $sent);
    return $data['customers'][$number];
}

function update(array &$data, int $number, ?int $version, array $sent): array
{
    $record = &held($data, $number, $version);
    if (array_key_exists('name', $sent) && !$sent['name']) {
        refuse('Invalid', 'a customer has a name', ['field' => 'name']);
    }
    put($record, $sent);
    return $record;
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
        return office(function (array &$data) use ($name, $in): array {
            $all = array_values($data['customers']);
            return match ($name) {
                'ListCustomers' => $this->rows(array_slice(array_filter($all, fn($one) => $one['number'] > $in['after']
                    && strtotime($one['changed']) >= strtotime($in['changedSince'] ?? '1970-01-01')), 0, $in['limit'])),
                'GetCustomers' => $this->rows(array_filter($all, fn($one) => in_array($one['number'], $in['numbers']['number'] ?? []))),
                'FindCustomers' => $this->rows(array_filter($all, fn($one) => isset($in['reference'])
                    ? ($one['reference'] ?? '') === $in['reference']
                    : strcasecmp($one['email'] ?? '', $in['email'] ?? '-') === 0)),
                'CreateCustomer' => ['customer' => create($data, $in['customer'])],
                'UpdateCustomer' => ['customer' => update($data, $in['number'], $in['version'] ?? null, $in['customer'])],
                'DeleteCustomer' => $this->remove($data, $in),
                default => refuse('Unknown', 'no such operation'),
            };
        });
    }

    private function rows(array $records): array
    {
        return ['customers' => ['customer' => array_values($records)]];
    }

    private function remove(array &$data, array $in): array
    {
        held($data, $in['number'], $in['version'] ?? null);
        unset($data['customers'][$in['number']]);
        return [];
    }
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/clerk') {
    try {
        $asked = json_decode(file_get_contents('php://input') ?: '{"verb": "all"}', true);
        echo json_encode(office(function (array &$data) use ($asked): array {
            $number = $asked['key'] ?? 0;
            $fields = $asked['fields'] ?? [];
            switch ($asked['verb']) {
                case 'reset': $data = ['numbers' => 0, 'customers' => []]; return [];
                case 'add': return create($data, $fields);
                case 'edit': return update($data, $number, null, $fields);
                case 'restamp': return $data['customers'][$number] = $fields + $data['customers'][$number];
                case 'remove': held($data, $number); unset($data['customers'][$number]); return [];
                default: return ['customers' => (object) $data['customers']];
            }
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
