// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/onnx_messages.h"

#include "core/base/text.h"

#include <charconv>

namespace quantloupe {
namespace {

// Many times what any model has, and what the lists of them may cost in memory.
constexpr std::size_t kMaxNodes = 500'000;
constexpr std::size_t kMaxAttributes = 1'000'000;
constexpr std::size_t kMaxOnnxTensors = 200'000;
constexpr std::size_t kMaxGraphDepth = 16;
constexpr std::size_t kMaxGraphs = 10'000;
constexpr std::size_t kMaxMetadataEntries = 10'000;
constexpr std::size_t kMaxOnnxRank = 8;
constexpr std::size_t kMaxOnnxName = 65'535;

using WireType = WireField::Type;

/// The bytes of a field that must be length-delimited and may occur once.
Result<void> takeOnce(const WireFile& file, const WireField& field, std::optional<Bytes>& taken, const char* name)
{
    if (field.type != WireType::Delimited)
        return file.malformed(field.at, std::string(name) + " is a number");
    if (taken)
        return file.malformed(field.at, std::string(name) + " occurs twice");
    taken = field.bytes;
    return {};
}

/// A name: valid UTF-8 without NUL. Empty ones are the caller's affair.
Result<void> takeName(const WireFile& file, const WireField& field, std::string_view& name, const char* what)
{
    if (field.type != WireType::Delimited)
        return file.malformed(field.at, std::string(what) + " is a number");
    name = field.text();
    if (name.size() > kMaxOnnxName)
        return file.malformed(field.at, std::string(what) + " of " + std::to_string(name.size()) + " bytes");
    if (!isValidUtf8(name) || name.find('\0') != std::string_view::npos)
        return file.malformed(field.at, std::string(what) + " " + inQuotes(name) + " is not valid UTF-8 text");
    return {};
}

/// Repeated integers, packed or one by one. `take(value)` returns Result<void>.
template<class Take>
Result<void> takeIntegers(const WireFile& file, const WireField& field, const char* what, const Take& take)
{
    if (field.type == WireType::Varint)
        return take(field.number64());
    if (field.type != WireType::Delimited)
        return file.malformed(field.at, std::string(what) + " of another wire type");
    for (auto rest = field.bytes; !rest.empty();) {
        std::uint64_t value = 0;
        if (!takeVarint(rest, value))
            return file.malformed(rest, std::string(what) + ": the last number has no end");
        if (auto taken = take(static_cast<std::int64_t>(value)); !taken)
            return taken;
    }
    return {};
}

/// StringStringEntryProto.
Result<std::pair<std::string_view, std::string_view>> readEntry(const WireFile& file, const WireField& entry)
{
    std::pair<std::string_view, std::string_view> pair;
    if (entry.type != WireType::Delimited)
        return file.malformed(entry.at, "a number where a pair of texts is expected");
    auto read = visitFields(file, entry.bytes, [&](const WireField& field) -> Result<void> {
        if (field.type == WireType::Delimited && field.number == 1)
            pair.first = field.text();
        if (field.type == WireType::Delimited && field.number == 2)
            pair.second = field.text();
        return {};
    });
    if (!read)
        return tl::unexpected(std::move(read.error()));
    return pair;
}

Result<void> takeExternalEntry(const WireFile& file, const WireField& field, OnnxTensor& tensor)
{
    const auto entry = readEntry(file, field);
    if (!entry)
        return tl::unexpected(entry.error());
    const auto& [key, text] = *entry;
    if (key == "location")
        tensor.location = text;
    if (key != "offset" && key != "length")
        return {};
    std::uint64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || problem != std::errc() || end != text.data() + text.size())
        return file.malformed(
            field.at, "the " + std::string(key) + " of external data is " + inQuotes(text) + ", not a number of bytes");
    if (key == "offset")
        tensor.externalOffset = number;
    else
        tensor.externalLength = number;
    return {};
}

class ModelReader
{
public:
    explicit ModelReader(const WireFile& file)
        : m_file(file)
    {
    }

    Result<OnnxModel> read()
    {
        std::optional<Bytes> graph;
        std::vector<Bytes> functions;
        auto fields = visitFields(m_file, m_file.bytes, [&](const WireField& field) -> Result<void> {
            switch (field.number) {
            case 1: m_model.irVersion = field.number64(); return {};
            case 7: return takeOnce(m_file, field, graph, "the graph");
            case 25:
                if (field.type == WireType::Delimited)
                    functions.push_back(field.bytes);
                return {};
            default: return takeMetadata(field);
            }
        });
        if (!fields)
            return tl::unexpected(std::move(fields.error()));
        if (!graph)
            return failure(ErrorCode::Malformed, m_file.where, "an ONNX model without a graph");
        m_waiting.push_back({*graph, std::nullopt, {}, 0});
        for (std::size_t i = 0; i < functions.size(); ++i)
            m_waiting.push_back({functions[i], std::nullopt, "function " + std::to_string(i + 1), 0, true});
        // A list that grows while it is walked: what lies inside the nodes of a graph comes after it.
        for (std::size_t i = 0; i < m_waiting.size(); ++i) {
            if (m_waiting.size() > kMaxGraphs)
                return failure(ErrorCode::Malformed, m_file.where, "more than 10,000 graphs");
            const auto job = m_waiting[i];
            m_model.graphs.push_back({job.parent, job.path, {}, {}});
            auto graphRead = visitFields(m_file, job.message,
                [&](const WireField& field) { return job.isFunction ? takeBody(i, field) : takePart(i, field); });
            if (!graphRead)
                return tl::unexpected(std::move(graphRead.error()));
        }
        return std::move(m_model);
    }

private:
    struct Waiting {
        Bytes message;
        std::optional<std::size_t> parent;
        std::string path;
        std::size_t depth;
        bool isFunction = false;
    };

    Result<void> takeMetadata(const WireField& field)
    {
        static constexpr std::pair<std::uint32_t, const char*> kTexts[] = {
            {2, "producer_name"}, {3, "producer_version"}, {4, "domain"}, {6, "doc_string"}};
        constexpr std::size_t kShown = 200;
        if (m_model.metadata.size() >= kMaxMetadataEntries)
            return {};
        for (const auto& [number, name] : kTexts)
            if (field.number == number && field.type == WireType::Delimited && !field.bytes.empty())
                m_model.metadata.emplace_back(name, shortened(field.text(), kShown));
        if (field.number == 14) {
            const auto entry = readEntry(m_file, field);
            if (!entry)
                return tl::unexpected(entry.error());
            m_model.metadata.emplace_back(shortened(entry->first, kShown), shortened(entry->second, kShown));
        }
        if (field.number == 8 && field.type == WireType::Delimited)
            return takeOperatorSet(field);
        return {};
    }

    Result<void> takeOperatorSet(const WireField& field)
    {
        std::string domain = "ai.onnx";
        std::int64_t version = 0;
        auto read = visitFields(m_file, field.bytes, [&](const WireField& part) -> Result<void> {
            if (part.number == 1 && part.type == WireType::Delimited && !part.bytes.empty())
                domain = shortened(part.text(), 100);
            if (part.number == 2)
                version = part.number64();
            return {};
        });
        m_model.metadata.emplace_back("opset " + domain, std::to_string(version));
        return read;
    }

    Result<void> takePart(std::size_t graph, const WireField& field)
    {
        if (field.number == 15)
            ++m_model.sparse;
        if (field.number != 1 && field.number != 5)
            return {};
        if (field.type != WireType::Delimited)
            return m_file.malformed(field.at, "a node or tensor that is a number");
        if (field.number == 1)
            return takeNode(graph, field);
        auto tensor = readOnnxTensor(m_file, field.bytes);
        if (!tensor)
            return tl::unexpected(std::move(tensor.error()));
        if (tensor->name.empty())
            return m_file.malformed(field.at, "an initializer without a name");
        if (++m_tensors > kMaxOnnxTensors)
            return m_file.malformed(field.at, "more than 200,000 tensors");
        m_model.graphs[graph].initializers.push_back(std::move(*tensor));
        return {};
    }

    Result<void> takeBody(std::size_t graph, const WireField& field)
    {
        return field.number == 7 && field.type == WireType::Delimited ? takeNode(graph, field) : Result<void>();
    }

    Result<void> takeNode(std::size_t graph, const WireField& message)
    {
        if (++m_nodes > kMaxNodes)
            return m_file.malformed(message.at, "more than 500,000 nodes");
        OnnxNode node;
        node.message = message.bytes;
        auto read = visitFields(m_file, message.bytes, [&](const WireField& field) -> Result<void> {
            std::string_view text;
            if (field.number == 1 || field.number == 2) {
                auto taken = takeName(m_file, field, text, "the name of a value");
                if (taken)
                    (field.number == 1 ? node.inputs : node.outputs).push_back(text);
                return taken;
            }
            if (field.number == 3)
                return takeName(m_file, field, node.name, "the name of a node");
            if (field.number == 4)
                return takeName(m_file, field, node.type, "the type of a node");
            if (field.number == 7)
                return takeName(m_file, field, node.domain, "the domain of a node");
            return field.number == 5 ? takeAttribute(graph, node, field) : Result<void>();
        });
        if (!read)
            return read;
        m_model.graphs[graph].nodes.push_back(std::move(node));
        return {};
    }

    Result<void> takeAttribute(std::size_t graph, OnnxNode& node, const WireField& message)
    {
        if (message.type != WireType::Delimited)
            return m_file.malformed(message.at, "an attribute that is a number");
        if (++m_attributes > kMaxAttributes)
            return m_file.malformed(message.at, "more than a million attributes");
        OnnxAttribute attribute {{}, message.bytes};
        std::vector<Bytes> graphs;
        auto read = visitFields(m_file, message.bytes, [&](const WireField& field) -> Result<void> {
            if (field.number == 1)
                return takeName(m_file, field, attribute.name, "the name of an attribute");
            if ((field.number == 6 || field.number == 11) && field.type == WireType::Delimited)
                graphs.push_back(field.bytes);
            return {};
        });
        if (!read)
            return read;
        for (const auto part : graphs) {
            const auto depth = m_waiting[graph].depth + 1;
            if (depth > kMaxGraphDepth)
                return m_file.malformed(part, "graphs nested deeper than 16");
            auto path = m_waiting[graph].path;
            path.append(path.empty() ? "" : "/").append(node.name.empty() ? node.type : node.name);
            path.append("/").append(attribute.name);
            m_waiting.push_back({part, graph, shortened(path, 1'000), depth});
        }
        node.attributes.push_back(attribute);
        return {};
    }

    const WireFile& m_file;
    OnnxModel m_model;
    std::vector<Waiting> m_waiting;
    std::size_t m_nodes = 0, m_attributes = 0, m_tensors = 0;
};

Result<void> takeTensorField(const WireFile& file, const WireField& field, OnnxTensor& tensor)
{
    switch (field.number) {
    case 1:
        return takeIntegers(file, field, "the extents of a tensor", [&](std::int64_t extent) -> Result<void> {
            if (extent < 0)
                return file.malformed(field.at, "a negative extent");
            if (tensor.shape.size() == kMaxOnnxRank)
                return file.unsupported(field.at, "a tensor of more than 8 dimensions");
            tensor.shape.push_back(static_cast<std::uint64_t>(extent));
            return {};
        });
    case 2: tensor.type = field.number64(); return {};
    case 3: return file.unsupported(field.at, "a tensor in segments");
    case 4:
    case 5:
    case 6:
    case 7:
    case 10:
    case 11:
        if (field.type == WireType::Delimited && field.bytes.empty() && field.number != 6)
            return {};
        if (tensor.typedField != 0 && tensor.typedField != field.number)
            return file.malformed(field.at, "a tensor whose numbers are given twice");
        tensor.typedField = field.number;
        return {};
    case 8:
        if (!tensor.name.empty())
            return file.malformed(field.at, "a tensor with two names");
        return takeName(file, field, tensor.name, "the name of a tensor");
    case 9: return takeOnce(file, field, tensor.raw, "raw_data of a tensor");
    case 13: return takeExternalEntry(file, field, tensor);
    case 14:
        if (field.value > 1)
            return file.unsupported(field.at, "a tensor stored at place " + std::to_string(field.value));
        tensor.external = field.value == 1;
        return {};
    default: return {};
    }
}

}  // namespace

Result<OnnxModel> readOnnxModel(const WireFile& file)
{
    return ModelReader(file).read();
}

Result<OnnxTensor> readOnnxTensor(const WireFile& file, Bytes message)
{
    OnnxTensor tensor;
    tensor.message = message;
    auto read =
        visitFields(file, message, [&](const WireField& field) { return takeTensorField(file, field, tensor); });
    if (!read)
        return tl::unexpected(std::move(read.error()));
    const auto values = (tensor.raw ? 1 : 0) + (tensor.typedField != 0 ? 1 : 0) + (tensor.external ? 1 : 0);
    if (values > 1)
        return file.malformed(message, "tensor " + inQuotes(tensor.name) + ": its numbers are given twice");
    if (!elementCount(tensor.shape))
        return file.malformed(message, "tensor " + inQuotes(tensor.name) + ": the product of its extents overflows");
    return tensor;
}

}  // namespace quantloupe
