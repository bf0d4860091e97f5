// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICheckpointAnchor} from "./interfaces/ICheckpointAnchor.sol";

/// @title Checkpoint anchor: what it promises and what it does not is written in ICheckpointAnchor
contract CheckpointAnchor is ICheckpointAnchor {
    /// @dev Two slots: size and sequence packed into one, then the root. A size of zero is a head that does not exist.
    struct Head {
        uint64 size;
        uint64 sequence;
        bytes32 root;
    }

    mapping(address publisher => mapping(bytes32 origin => Head)) private heads;

    /// @inheritdoc ICheckpointAnchor
    function anchor(bytes32 origin, uint64 size, bytes32 root) external returns (uint64 sequence) {
        if (size == 0) revert ZeroSize();
        if (root == 0) revert ZeroRoot();

        Head storage current = heads[msg.sender][origin];
        uint64 anchored = current.size;
        sequence = current.sequence;

        if (size <= anchored) {
            if (size < anchored) revert SizeShrank(anchored, size);
            bytes32 anchoredRoot = current.root;
            if (root != anchoredRoot) revert RootChanged(size, anchoredRoot, root);
            return sequence;
        }

        // Every change of a head raises its size by at least one, so sequence <= size and the sum cannot wrap.
        unchecked {
            sequence += 1;
        }
        current.size = size;
        current.sequence = sequence;
        current.root = root;
        emit Anchored(msg.sender, origin, size, sequence, root);
    }

    /// @inheritdoc ICheckpointAnchor
    function head(address publisher, bytes32 origin)
        external
        view
        returns (uint64 size, uint64 sequence, bytes32 root)
    {
        Head storage current = heads[publisher][origin];
        return (current.size, current.sequence, current.root);
    }
}
