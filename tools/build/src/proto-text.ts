import { isFieldSet, ScalarType } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProtoSchema as FieldSchema,
  type FileDescriptorProto,
  FieldDescriptorProto_Label as Label,
} from '@bufbuild/protobuf/wkt';

const HEADER = [
  '// Written by tools/build/src/vendor-validate.ts from @bufbuild/protovalidate',
  '// (Apache-2.0, Copyright Buf Technologies, Inc.). Do not edit.',
];
/** The end of an extension range that the language writes as `max`: 2^29. */
const RANGE_MAX = 536_870_912;

const indent = (lines: readonly string[]) => lines.map((line) => `  ${line}`);
const block = (head: string, body: readonly string[]) => [`${head} {`, ...indent(body), '}'];

/** `1 to 4`, from a descriptor's range. `end` is inclusive here, exclusive in message ranges of the descriptor. */
const range = (start: number, end: number) => `${start} to ${end === RANGE_MAX - 1 ? 'max' : end}`;

function labelOf(field: FieldDescriptorProto): string {
  if (field.label === Label.REPEATED) return 'repeated ';
  return field.label === Label.REQUIRED ? 'required ' : 'optional ';
}

function fieldLine(field: FieldDescriptorProto, label: string): string {
  const type = field.typeName === '' ? String(ScalarType[field.type]).toLowerCase() : field.typeName;
  const options = [
    ...(isFieldSet(field, FieldSchema.field.defaultValue) ? [`default = ${field.defaultValue}`] : []),
    ...(field.options?.deprecated ? ['deprecated = true'] : []),
  ];
  const suffix = options.length > 0 ? ` [${options.join(', ')}]` : '';
  return `${label}${type} ${field.name} = ${field.number}${suffix};`;
}

function enumLines(enumeration: EnumDescriptorProto): string[] {
  return block(`enum ${enumeration.name}`, [
    ...(enumeration.options?.allowAlias ? ['option allow_alias = true;'] : []),
    ...enumeration.value.map((value) => `${value.name} = ${value.number};`),
    ...enumeration.reservedRange.map(({ start, end }) => `reserved ${range(start, end)};`),
    ...enumeration.reservedName.map((name) => `reserved "${name}";`),
  ]);
}

/** The fields of a message; those of a oneof stand together where the first of them stood. */
function fieldLines(message: DescriptorProto): string[] {
  const inOneof = (field: FieldDescriptorProto) => isFieldSet(field, FieldSchema.field.oneofIndex);
  return message.field.flatMap((field, position) => {
    if (!inOneof(field)) return [fieldLine(field, labelOf(field))];
    const members = message.field.filter((other) => inOneof(other) && other.oneofIndex === field.oneofIndex);
    if (message.field.indexOf(members[0] ?? field) !== position) return [];
    const name = message.oneofDecl[field.oneofIndex]?.name;
    return block(
      `oneof ${name}`,
      members.map((member) => fieldLine(member, '')),
    );
  });
}

function messageLines(message: DescriptorProto): string[] {
  return block(`message ${message.name}`, [
    ...message.enumType.flatMap(enumLines),
    ...message.nestedType.flatMap(messageLines),
    ...fieldLines(message),
    ...message.reservedRange.map(({ start, end }) => `reserved ${range(start, end - 1)};`),
    ...message.reservedName.map((name) => `reserved "${name}";`),
    ...message.extensionRange.map(({ start, end }) => `extensions ${range(start, end - 1)};`),
  ]);
}

/**
 * The source text of a file descriptor, enough for buf to read field options by it. The bodies of rules (custom
 * options in the file itself) are left out: the runtime has its own copy.
 */
export function protoText(file: FileDescriptorProto): string {
  const lines = [
    ...HEADER,
    `syntax = "${file.syntax || 'proto2'}";`,
    `package ${file.package};`,
    ...file.dependency.map((path) => `import "${path}";`),
    'option java_multiple_files = true;',
    `option java_outer_classname = "${file.options?.javaOuterClassname}";`,
    `option java_package = "${file.options?.javaPackage}";`,
    `option go_package = "${file.options?.goPackage}";`,
    ...file.extension.flatMap((field) => block(`extend ${field.extendee}`, [fieldLine(field, labelOf(field))])),
    ...file.enumType.flatMap(enumLines),
    ...file.messageType.flatMap(messageLines),
  ];
  return `${lines.join('\n')}\n`;
}
