// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICheckpointAnchor} from "../src/interfaces/ICheckpointAnchor.sol";
import {Vm, vm} from "./Vm.sol";

/// @notice Calls `anchor` in any order for a few publishers and origins and keeps what was observed. It knows none of
/// the contract's rules: it records which calls were accepted, what the head was before and after, and the events.
contract AnchorHandler {
    uint256 public constant PUBLISHERS = 3;
    uint256 public constant ORIGINS = 2;
    uint256 private constant ROOTS = 4;
    uint64 private constant SMALL_SIZES = 48;

    struct Observed {
        uint64 size;
        bytes32 root;
        uint64 changes;
        uint64 events;
    }

    ICheckpointAnchor public immutable anchors;
    mapping(address publisher => mapping(bytes32 origin => Observed)) public observed;
    mapping(address publisher => mapping(bytes32 origin => mapping(uint64 size => bytes32))) public acceptedRoot;

    uint256 public accepted;
    uint256 public refused;
    uint256 public shrunk;
    uint256 public rewritten;
    uint256 public refusedYetChanged;
    uint256 public wrongSequenceReturned;
    uint256 public wrongEvent;

    constructor(ICheckpointAnchor anchors_) {
        anchors = anchors_;
    }

    function publisherAt(uint256 index) public pure returns (address) {
        return address(uint160(0x1000 + index % PUBLISHERS));
    }

    function originAt(uint256 index) public pure returns (bytes32) {
        return sha256(abi.encode(index % ORIGINS));
    }

    function rootAt(uint256 index) private pure returns (bytes32) {
        return keccak256(abi.encode(index % ROOTS));
    }

    /// @notice Any size and any root, zero among them; at the last origin alone, so that the other heads stay small.
    function anchorAnything(uint256 publisher, uint64 size, bytes32 root) external {
        attempt(publisherAt(publisher), originAt(ORIGINS - 1), size, root);
    }

    /// @notice Few sizes and few roots, so that calls collide.
    function anchorSmall(uint256 publisher, uint256 origin, uint64 size, uint256 root) external {
        attempt(publisherAt(publisher), originAt(origin), size % SMALL_SIZES, rootAt(root));
    }

    /// @notice A little more than the head.
    function grow(uint256 publisher, uint256 origin, uint64 growth, uint256 root) external {
        (uint64 size,,) = anchors.head(publisherAt(publisher), originAt(origin));
        unchecked {
            attempt(publisherAt(publisher), originAt(origin), size + 1 + growth % 4, rootAt(root));
        }
    }

    /// @notice The head again.
    function again(uint256 publisher, uint256 origin) external {
        (uint64 size,, bytes32 root) = anchors.head(publisherAt(publisher), originAt(origin));
        attempt(publisherAt(publisher), originAt(origin), size, root);
    }

    /// @notice The head's size, or one less, with any root.
    function contradict(uint256 publisher, uint256 origin, bool below, uint256 root) external {
        (uint64 size,,) = anchors.head(publisherAt(publisher), originAt(origin));
        unchecked {
            attempt(publisherAt(publisher), originAt(origin), below ? size - 1 : size, rootAt(root));
        }
    }

    function attempt(address publisher, bytes32 origin, uint64 size, bytes32 root) private {
        (uint64 oldSize, uint64 oldSequence, bytes32 oldRoot) = anchors.head(publisher, origin);
        vm.recordLogs();
        vm.prank(publisher);
        try anchors.anchor(origin, size, root) returns (uint64 returned) {
            accepted += 1;
            recordAccepted(publisher, origin, size, root, returned);
        } catch {
            refused += 1;
        }
        (uint64 newSize, uint64 newSequence, bytes32 newRoot) = anchors.head(publisher, origin);
        bool changed = newSize != oldSize || newSequence != oldSequence || newRoot != oldRoot;
        if (newSize < oldSize) shrunk += 1;
        if (changed) observed[publisher][origin].changes += 1;
        if (changed && (newSize != size || newRoot != root)) refusedYetChanged += 1;
        recordEvents(publisher, origin, size, root, newSequence);
    }

    function recordAccepted(address publisher, bytes32 origin, uint64 size, bytes32 root, uint64 returned) private {
        bytes32 before = acceptedRoot[publisher][origin][size];
        if (before != 0 && before != root) rewritten += 1;
        acceptedRoot[publisher][origin][size] = root;
        observed[publisher][origin].size = size;
        observed[publisher][origin].root = root;
        (, uint64 sequence,) = anchors.head(publisher, origin);
        if (returned != sequence) wrongSequenceReturned += 1;
    }

    function recordEvents(address publisher, bytes32 origin, uint64 size, bytes32 root, uint64 sequence) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        observed[publisher][origin].events += uint64(logs.length);
        for (uint256 index = 0; index < logs.length; index++) {
            bool right = logs[index].emitter == address(anchors)
                && logs[index].topics[0] == ICheckpointAnchor.Anchored.selector
                && logs[index].topics[1] == bytes32(uint256(uint160(publisher))) && logs[index].topics[2] == origin
                && keccak256(logs[index].data) == keccak256(abi.encode(size, sequence, root));
            if (!right) wrongEvent += 1;
        }
    }
}
