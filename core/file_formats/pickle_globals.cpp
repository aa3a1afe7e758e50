// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/pickle_globals.h"

#include <algorithm>
#include <span>
#include <utility>

namespace quantloupe {
namespace {

using GlobalKind = PickleGlobal::Kind;

struct NamedGlobal {
    std::string_view module, name;
    GlobalKind kind;
};

constexpr NamedGlobal kGlobals[] = {
    {"collections", "OrderedDict", GlobalKind::Mapping},
    {"collections", "Counter", GlobalKind::Mapping},
    {"collections", "defaultdict", GlobalKind::Mapping},
    {"builtins", "dict", GlobalKind::Mapping},
    {"torch._utils", "_rebuild_tensor", GlobalKind::RebuildTensor},
    {"torch._utils", "_rebuild_tensor_v2", GlobalKind::RebuildTensorV2},
    {"torch._utils", "_rebuild_tensor_v3", GlobalKind::RebuildTensorV3},
    {"torch._utils", "_rebuild_parameter", GlobalKind::RebuildParameter},
    {"torch._utils", "_rebuild_parameter_with_state", GlobalKind::RebuildParameter},
    {"torch._tensor", "_rebuild_from_type_v2", GlobalKind::RebuildFromType},
    {"torch.nn.parameter", "Parameter", GlobalKind::Parameter},
    {"torch._utils", "_rebuild_qtensor", GlobalKind::RebuildForeign},
    {"torch._utils", "_rebuild_sparse_tensor", GlobalKind::RebuildForeign},
    {"torch._utils", "_rebuild_nested_tensor", GlobalKind::RebuildForeign},
    {"torch._utils", "_rebuild_meta_tensor_no_storage", GlobalKind::RebuildForeign},
    {"torch._utils", "_rebuild_wrapper_subclass", GlobalKind::RebuildForeign},
    {"torch._utils", "_rebuild_device_tensor_from_numpy", GlobalKind::RebuildForeign},
    {"torch._utils", "_rebuild_device_tensor_from_cpu_tensor", GlobalKind::RebuildForeign},
    {"torch.jit._pickle", "build_tensor_from_id", GlobalKind::RebuildForeign},
    {"torch", "Size", GlobalKind::FirstArgument},
    {"torch.jit._pickle", "restore_type_tag", GlobalKind::FirstArgument},
    {"torch.jit._pickle", "build_intlist", GlobalKind::FirstArgument},
    {"torch.jit._pickle", "build_doublelist", GlobalKind::FirstArgument},
    {"torch.jit._pickle", "build_boollist", GlobalKind::FirstArgument},
    {"torch.jit._pickle", "build_tensorlist", GlobalKind::FirstArgument},
    {"torch.storage", "UntypedStorage", GlobalKind::Storage},
    {"torch.storage", "_UntypedStorage", GlobalKind::Storage},
    {"torch", "UntypedStorage", GlobalKind::Storage},
    {"torch", "device", GlobalKind::Harmless},
    {"torch.serialization", "_get_layout", GlobalKind::Harmless},
    {"torch", "Generator", GlobalKind::Harmless},
    {"torch", "per_tensor_affine", GlobalKind::Harmless},
    {"torch", "per_channel_affine", GlobalKind::Harmless},
    {"_codecs", "encode", GlobalKind::Harmless},
    {"argparse", "Namespace", GlobalKind::Harmless},
    {"datetime", "datetime", GlobalKind::Harmless},
    {"datetime", "timedelta", GlobalKind::Harmless},
    {"pathlib", "Path", GlobalKind::Harmless},
    {"pathlib", "PosixPath", GlobalKind::Harmless},
    {"pathlib", "WindowsPath", GlobalKind::Harmless},
    {"numpy", "dtype", GlobalKind::Harmless},
    {"numpy", "ndarray", GlobalKind::Harmless},
    {"numpy.core.multiarray", "scalar", GlobalKind::Harmless},
    {"numpy.core.multiarray", "_reconstruct", GlobalKind::Harmless},
    {"numpy._core.multiarray", "scalar", GlobalKind::Harmless},
    {"numpy._core.multiarray", "_reconstruct", GlobalKind::Harmless},
};

constexpr std::string_view kPlainBuiltins[] = {"set", "frozenset", "bytearray", "complex", "slice", "range", "object",
    "int", "float", "bool", "str", "bytes", "list", "tuple"};

/// Storages and element types. Without a type: those that are not read.
struct NamedType {
    std::string_view storage, element;
    std::optional<DType> dtype;
};

constexpr NamedType kTorchTypes[] = {
    {"DoubleStorage", "float64", DType::F64},
    {"FloatStorage", "float32", DType::F32},
    {"HalfStorage", "float16", DType::F16},
    {"BFloat16Storage", "bfloat16", DType::BF16},
    {"LongStorage", "int64", DType::I64},
    {"IntStorage", "int32", DType::I32},
    {"ShortStorage", "int16", DType::I16},
    {"CharStorage", "int8", DType::I8},
    {"ByteStorage", "uint8", DType::U8},
    {"BoolStorage", "bool", DType::Bool},
    {"ComplexFloatStorage", "complex64", DType::C64},
    {"", "uint16", DType::U16},
    {"", "uint32", DType::U32},
    {"", "uint64", DType::U64},
    {"", "float8_e4m3fn", DType::F8_E4M3},
    {"", "float8_e5m2", DType::F8_E5M2},
    {"", "float8_e8m0fnu", DType::F8_E8M0},
    {"", "float8_e4m3fnuz", std::nullopt},
    {"", "float8_e5m2fnuz", std::nullopt},
    {"", "float4_e2m1fn_x2", std::nullopt},
    {"", "complex32", std::nullopt},
    {"ComplexDoubleStorage", "complex128", std::nullopt},
    {"QInt8Storage", "qint8", std::nullopt},
    {"QUInt8Storage", "quint8", std::nullopt},
    {"QInt32Storage", "qint32", std::nullopt},
    {"QUInt4x2Storage", "quint4x2", std::nullopt},
    {"QUInt2x4Storage", "quint2x4", std::nullopt},
};

/// Modules of which a file with weights has no need, and whose functions run programs, read files or run code.
constexpr std::string_view kModulesThatRunCode[] = {"os", "posix", "nt", "sys", "subprocess", "commands", "pty",
    "shutil", "socket", "ctypes", "code", "codeop", "importlib", "imp", "runpy", "pickle", "_pickle", "cPickle", "dill",
    "cloudpickle", "joblib", "marshal", "types", "functools", "operator", "_operator", "itertools", "webbrowser",
    "platform", "asyncio", "multiprocessing", "threading", "_thread", "timeit", "pdb", "bdb", "cProfile", "profile",
    "trace", "tempfile", "urllib", "http", "requests", "ftplib", "smtplib", "pip", "zipimport", "pkgutil"};

bool isOneOf(std::span<const std::string_view> names, std::string_view name)
{
    return std::find(names.begin(), names.end(), name) != names.end();
}

bool runsCode(std::string_view module, std::string_view name)
{
    const auto package = module.substr(0, module.find('.'));
    if (isOneOf(kModulesThatRunCode, package))
        return true;
    return module == "builtins" || module == "torch.hub" || module.starts_with("numpy.testing")
        || ((module == "torch" || module == "numpy") && name == "load");
}

}  // namespace

PickleGlobal findPickleGlobal(std::string_view module, std::string_view name)
{
    if (module == "__builtin__")  // Python 2
        module = "builtins";
    PickleGlobal global {.name = std::string(module) + "." + std::string(name)};
    for (const auto& known : kGlobals)
        if (known.module == module && known.name == name) {
            global.kind = known.kind;
            return global;
        }
    if (module == "builtins" && isOneOf(kPlainBuiltins, name)) {
        global.kind = GlobalKind::Harmless;
        return global;
    }
    if (module == "torch" || module == "torch.cuda" || module == "torch.storage")
        for (const auto& type : kTorchTypes) {
            const bool isStorage = !type.storage.empty() && name == type.storage;
            if (!isStorage && (module != "torch" || name != type.element))
                continue;
            global.kind = isStorage ? GlobalKind::Storage : GlobalKind::ElementType;
            global.dtype = type.dtype;
            global.foreign = !type.dtype;
            return global;
        }
    if (module == "torch" && name.ends_with("Storage")) {  // TorchScript has one for every type
        global.kind = GlobalKind::Storage;
        global.foreign = true;
        return global;
    }
    if (module == "__torch__" || module.starts_with("__torch__."))
        global.kind = GlobalKind::ScriptClass;
    else if (runsCode(module, name))
        global.kind = GlobalKind::RunsCode;
    return global;
}

}  // namespace quantloupe
