// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/read_hdf5/list_contents.h"

#include "app/read_hdf5/attributes.h"
#include "app/read_hdf5/dataset_facts.h"
#include "app/read_hdf5/refusal.h"
#include "app/read_hdf5/soundness.h"

#include "core/study/hdf5_handles.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace quantloupe::read_hdf5 {
namespace {

/// Its shape differs between versions of the library.
#if H5_VERSION_GE(1, 12, 0)
using ObjectInfo = H5O_info1_t;
#else
using ObjectInfo = H5O_info_t;
#endif

using Object = hdf5::Handle<H5Oclose>;

struct Links {
    std::vector<std::string> names;
    std::string notHard;
    std::size_t room = 0;
};

herr_t takeLink(hid_t, const char* name, const H5L_info_t* info, void* data)
{
    auto& links = *static_cast<Links*>(data);
    if (info->type != H5L_TYPE_HARD) {
        links.notHard = name;
        return 1;  // stops
    }
    if (links.names.size() >= links.room)
        return -1;
    links.names.emplace_back(name);
    return 0;
}

struct Place {
    std::string path;  ///< without the slash in front
    std::size_t depth = 0;
};

class Walk
{
public:
    Walk(hid_t file, Answer& answer)
        : m_file(file)
        , m_answer(answer)
    {
    }

    void run()
    {
        m_pending.push_back({});
        while (!m_pending.empty()) {
            const auto place = std::move(m_pending.back());
            m_pending.pop_back();
            visit(place);
        }
        m_answer.send(Hdf5Record::Others, RecordBytes().u64(m_others).u64(m_unwritten).bytes());
    }

private:
    void visit(const Place& place)
    {
        const Object object(
            place.path.empty() ? H5Oopen(m_file, "/", H5P_DEFAULT) : H5Oopen(m_file, place.path.c_str(), H5P_DEFAULT));
        if (!object)
            throw libraryRefusal(place.path.empty() ? "the root group cannot be opened"
                                                    : "object '" + place.path + "' cannot be opened");
        m_checks.checkAttributes(object.id(), place.path);
        switch (H5Iget_type(object.id())) {
        case H5I_GROUP: visitGroup(object.id(), place); break;
        case H5I_DATASET: visitDataset(object.id(), place.path); break;
        case H5I_DATATYPE: SoundnessChecks::checkNamedType(object.id(), place.path); break;
        default: break;
        }
    }

    void visitGroup(hid_t group, const Place& place)
    {
        ObjectInfo info {};
        if (H5Oget_info1(group, &info) < 0)
            throw libraryRefusal("group '/" + place.path + "' cannot be read");
        if (!m_groups.insert(info.addr).second)
            throw refusal(
                ErrorCode::Malformed, "group", "/" + place.path, "is also another group: it may contain itself");
        sendKerasAttributes(group, place.path, m_answer);
        Links links;
        links.room = kHdf5MaxObjects - m_seen;
        if (H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, takeLink, &links) < 0) {
            if (links.names.size() >= links.room)
                throw Refusal {ErrorCode::Unsupported, "it holds more than a million objects"};
            throw libraryRefusal("the links of group '/" + place.path + "' cannot be read");
        }
        const auto prefix = place.path.empty() ? std::string() : place.path + "/";
        if (!links.notHard.empty())
            throw refusal(ErrorCode::Unsupported, "link", prefix + links.notHard,
                "leads by a name, perhaps to another file: not followed");
        m_seen += links.names.size();
        if (!links.names.empty() && place.depth >= kHdf5MaxDepth)
            throw refusal(ErrorCode::Unsupported, "group", "/" + place.path, "is nested too deeply");
        for (auto name = links.names.rbegin(); name != links.names.rend(); ++name) {
            if (prefix.size() + name->size() > kHdf5MaxName)
                throw Refusal {ErrorCode::Unsupported, "an object's name is longer than 65,535 bytes"};
            m_pending.push_back({prefix + *name, place.depth + 1});
        }
    }

    void visitDataset(hid_t dataset, const std::string& path)
    {
        const auto facts = factsOf(dataset, path);
        m_checks.checkDataset(dataset, path);
        if (!facts) {
            ++m_others;
            return;
        }
        if (facts->neverWritten) {
            ++m_unwritten;
            return;
        }
        RecordBytes record;
        record.text(path)
            .u8(static_cast<std::uint8_t>(facts->type.dtype))
            .u8(static_cast<std::uint8_t>(facts->storage))
            .u64(facts->offset)
            .u64(facts->extents.size());
        for (const auto extent : facts->extents)
            record.u64(extent);
        record.u64(facts->stored.size());
        for (const auto& piece : facts->stored)
            record.u64(piece.offset).u64(piece.bytes);
        m_answer.send(Hdf5Record::Dataset, record.bytes());
    }

    hid_t m_file;
    Answer& m_answer;
    SoundnessChecks m_checks;
    std::vector<Place> m_pending;
    std::set<haddr_t> m_groups;
    std::size_t m_seen = 0;
    std::uint64_t m_others = 0, m_unwritten = 0;
};

}  // namespace

void listContents(hid_t file, Answer& answer)
{
    Walk(file, answer).run();
}

}  // namespace quantloupe::read_hdf5
